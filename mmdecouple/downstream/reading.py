"""The pre-trained backbone in a checkpoint of any origin."""
import re
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmdecouple.models.backbones.resnet_names import (MARK, Networks, find_networks, mmdet_names, nothing_found,
                                                      renamed, soco_names)
from mmdecouple.models.backbones.vit_formats import roles_of, to_ours
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.weight_files import read_weights

ROLES = ('auto', 'student', 'teacher')
_NAMED = {(False, (2, 2, 2, 2)): 18, (False, (3, 4, 6, 3)): 34, (True, (3, 4, 6, 3)): 50, (True, (3, 4, 23, 3)): 101,
          (True, (3, 8, 36, 3)): 152}


@dataclass(frozen=True)
class Pretrained:
    """A backbone that pre-training made.

    Attributes:
        path: The checkpoint.
        state: Tensors by the names of mmpretrain's (and mmdet's and mmseg's) ResNet, or of mmpretrain's ViT.
        names: The same names, and those of `pyramid` -> names in the checkpoint.
        kind: `ResNet` or `ViT`.
        role: Whose it is: `student`, `teacher`, or `only` where the checkpoint holds one network.
        format: Format of the checkpoint, one of `resnet_names.FORMATS` or of `vit_formats.FORMATS`.
        pyramid: The pyramid and box head of SoCo-FPN by mmdet's names, `neck.*` and `roi_head.bbox_head.*`; empty for
            all else.
    """
    path: str
    state: dict[str, Tensor]
    names: dict[str, str]
    kind: str
    role: str
    format: str
    pyramid: dict[str, Tensor] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """For messages: `ResNet-50`, `ViT of 12 blocks, width 384, patch 16`."""
        return architecture(self.state)


def read_pretrained(path: str, role: str = 'auto', allow_pickle: bool = False) -> Pretrained:
    """Reads a backbone from a checkpoint of ours or of another project.

    Args:
        path: A file that `read_weights` reads. ViT: any format of `read_vit`. ResNet: ours, torchvision's,
            detectron2's, MoCo's, DenseCL's, ReSim's, PLRC's, CP2's, SoCo's.
        role: `student`, `teacher`, or `auto`: what the method's authors transfer, which is the teacher for iBOT and
            DINO and the student for all others.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no backbone that is known, or none of that role.
    """
    if role not in ROLES:
        raise UserError(f'PretrainedBackbone: role must be one of {", ".join(ROLES)}, got {role!r} '
                        '(config key model.init_cfg.role).')
    content = read_weights(path, allow_pickle)
    held = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)
    tensors = {key.removeprefix('module.'): key for key, value in held.items() if isinstance(value, Tensor)}
    networks = find_networks(tensors)
    if networks is not None:
        return _resnet(path, held, tensors, networks, role)
    if any(key.endswith(MARK) or '_branch2' in key for key in tensors):
        raise UserError(f'PretrainedBackbone: {path!r} holds no ResNet that is known; {nothing_found(tensors)} '
                        '(config key model.init_cfg.checkpoint).')
    return _vit(path, content, role)


def architecture(state: dict[str, Tensor]) -> str:
    """What the names and shapes of a backbone's tensors say it is."""
    if 'cls_token' in state and 'patch_embed.projection.weight' in state:
        patch = state['patch_embed.projection.weight'].shape[-1]
        count = sum(key.endswith('.attn.qkv.weight') for key in state)
        return f'ViT of {count} blocks, width {state["cls_token"].shape[-1]}, patch {patch}'
    found = [re.match(r'layer(\d)\.(\d+)\.', key) for key in state]
    blocks: dict[int, int] = {}
    for stage, block in sorted((int(match[1]), int(match[2])) for match in found if match):
        blocks[stage] = block + 1
    if not blocks:
        return f'network with tensors such as {", ".join(list(state)[:2]) or "none"}'
    bottleneck, counts = any(key.endswith('.0.conv3.weight') for key in state), tuple(blocks.values())
    depth = _NAMED.get((bottleneck, counts))
    if depth is not None:
        return f'ResNet-{depth}'
    return f'ResNet of {"-".join(map(str, counts))} {"bottleneck" if bottleneck else "basic"} blocks'


def _resnet(path: str, held: dict[str, Tensor], tensors: dict[str, str], networks: Networks, role: str) -> Pretrained:
    names = networks.teacher if role == 'teacher' else networks.student
    if not names:
        sought = 'student' if role == 'auto' else role
        raise UserError(f'PretrainedBackbone: {path!r} holds no {sought} with a ResNet; {nothing_found(tensors)} '
                        '(config key model.init_cfg.role).')
    found = 'teacher' if role == 'teacher' else 'student' if networks.teacher else 'only'
    beside = _pyramid_names(tensors, networks.format, 'teacher.' if role == 'teacher' else '')
    state, pyramid = ({name: held[tensors[key]] for name, key in part.items()} for part in (names, beside))
    return Pretrained(path, state, {name: tensors[key] for name, key in (names | beside).items()}, 'ResNet', found,
                      networks.format, pyramid)


def _pyramid_names(tensors: dict[str, str], format: str, role: str) -> dict[str, str]:
    """mmdet's names of the pyramid and the box head of a network of SoCo-FPN -> names in the checkpoint."""
    ours = {key: key for key in tensors} if format == 'mmdecouple' else {}
    if format == 'soco' and 'neck.fpn_convs.0.conv.weight' in tensors:
        ours = renamed(tensors, {theirs: own for own, theirs in soco_names(pyramid=True).items()})
    if f'{role}neck.pyramid.inner_blocks.0.0.weight' not in ours:
        return {}
    return {new: ours[old] for new, old in renamed(ours, {
        role + own: mmdet for own, mmdet in mmdet_names().items()}).items()}


def _vit(path: str, content: dict[str, Any], role: str) -> Pretrained:
    roles = roles_of(content)
    if role == 'teacher' and 'teacher' not in roles:
        raise UserError(f"PretrainedBackbone: {path!r} holds no teacher beside its network; take role='auto' "
                        '(config key model.init_cfg.role).')
    if role == 'auto':
        lone = roles[0] if len(roles) == 1 else 'student'
        role = 'teacher' if 'teacher' in roles and _transfers_teacher(content) else lone
    weights = to_ours(content, role, where=f'PretrainedBackbone: {path!r}')
    names = {key.removeprefix('backbone.'): theirs for key, theirs in weights.names.items()
             if key.startswith('backbone.')}
    return Pretrained(path, weights.backbone, names, 'ViT', role if roles else 'only', weights.format)


def _transfers_teacher(content: dict[str, Any]) -> bool:
    """Whether a checkpoint is iBOT's, ours or the authors', or DINO's."""
    if isinstance(content.get('teacher'), dict):
        return True
    return 'class_center.value' in content.get('state_dict', content)
