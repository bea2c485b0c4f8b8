"""The pre-trained backbone in a checkpoint of any origin."""
import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmdecouple.models.backbones.vit_formats import roles_of, to_ours
from mmdecouple.utils.weight_files import read_weights

ROLES = ('auto', 'student', 'teacher')
# What precedes the student's ResNet: ours, PLRC, CP2, MoCo and ReSim, SoCo, torchvision.
_STUDENTS = ('backbone.', 'encoder_q.enc.', 'encoder_q.backbone.', 'encoder_q.', 'encoder.', '')
_TEACHERS = ('teacher.backbone.', 'encoder_k.enc.', 'encoder_k.backbone.', 'encoder_k.')
_FIRST = 'layer1.0.conv1.weight'
_NAMED = {(False, (2, 2, 2, 2)): 18, (False, (3, 4, 6, 3)): 34, (True, (3, 4, 6, 3)): 50, (True, (3, 4, 23, 3)): 101,
          (True, (3, 8, 36, 3)): 152}


@dataclass(frozen=True)
class Pretrained:
    """A backbone that pre-training made.

    Attributes:
        path: The checkpoint.
        state: Tensors by the names of mmpretrain's (and mmdet's and mmseg's) ResNet, or of mmpretrain's ViT.
        names: The same names -> names in the checkpoint.
        kind: `ResNet` or `ViT`.
        role: Whose it is: `student`, `teacher`, or `only` where the checkpoint holds one network.
        format: `resnet`, or the format of the ViT.
    """
    path: str
    state: dict[str, Tensor]
    names: dict[str, str]
    kind: str
    role: str
    format: str

    @property
    def architecture(self) -> str:
        """For messages: `ResNet-50`, `ViT of 12 blocks, width 384, patch 16`."""
        return architecture(self.state)


def read_pretrained(path: str, role: str = 'auto', allow_pickle: bool = False) -> Pretrained:
    """Reads a backbone from a checkpoint of ours or of another project.

    Args:
        path: A file that `read_weights` reads. ViT: any format of `read_vit`. ResNet: ours, torchvision's, MoCo's,
            ReSim's, PLRC's, CP2's, SoCo's.
        role: `student`, `teacher`, or `auto`: what the method's authors transfer, which is the teacher for iBOT and
            DINO and the student for all others.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no backbone that is known, or none of that role.
    """
    if role not in ROLES:
        raise ValueError(f'PretrainedBackbone: role must be one of {", ".join(ROLES)}, got {role!r} '
                         '(config key model.init_cfg.role).')
    content = read_weights(path, allow_pickle)
    held = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)
    tensors = {key.removeprefix('module.'): key for key, value in held.items() if isinstance(value, Tensor)}
    if any(key.endswith(_FIRST) for key in tensors):
        return _resnet(path, held, tensors, role)
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


def _resnet(path: str, held: dict[str, Tensor], tensors: dict[str, str], role: str) -> Pretrained:
    students, teachers = ([prefix for prefix in prefixes if prefix + _FIRST in tensors]
                          for prefixes in (_STUDENTS, _TEACHERS))
    wanted = teachers if role == 'teacher' else students
    if not wanted:
        sought = 'student' if role == 'auto' else role
        raise ValueError(f'PretrainedBackbone: {path!r} holds no {sought} with a ResNet; '
                         f'its tensors begin with {", ".join(list(tensors)[:3])} (config key model.init_cfg.role).')
    prefix = wanted[0]
    names = {key.removeprefix(prefix): key for key in tensors
             if key.startswith(prefix) and re.match(r'(conv1|bn1|stem|layer\d)\.', key.removeprefix(prefix))}
    found = 'teacher' if role == 'teacher' else 'student' if teachers else 'only'
    return Pretrained(path, {name: held[tensors[key]] for name, key in names.items()},
                      {name: tensors[key] for name, key in names.items()}, 'ResNet', found, 'resnet')


def _vit(path: str, content: dict[str, Any], role: str) -> Pretrained:
    roles = roles_of(content)
    if role == 'teacher' and 'teacher' not in roles:
        raise ValueError(f"PretrainedBackbone: {path!r} holds no teacher beside its network; take role='auto' "
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
