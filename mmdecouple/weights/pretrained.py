"""Reading of the pre-trained backbone in a checkpoint of any supported origin."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmdecouple.utils.errors import UserError

from .formats.resnet_names import (
    Networks,
    find_networks,
    mmdet_names,
    nothing_found,
    renamed,
    soco_names,
    tensors_by_name,
)
from .formats.roles import ONLY, Held
from .formats.vit import to_ours
from .formats.vit_arch import describe_vit
from .formats.vit_facts import NOTHING, ViTFacts
from .formats.vit_reading import networks_of
from .weight_files import read_weights

ROLES = ('auto', 'student', 'teacher')
_NAMED = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}


@dataclass(frozen=True)
class Pretrained:
    """Pre-trained backbone.

    Attributes:
        path: Path of the checkpoint.
        state: Tensors by the names of the ResNet of mmpretrain, mmdet and mmseg, or of mmpretrain's ViT.
        names: Names in `state` and `pyramid` -> names in the checkpoint.
        kind: `ResNet` or `ViT`.
        role: Role of the network: `student`, `teacher`, or `only` if the checkpoint holds one network.
        format: Format of the checkpoint, one of `resnet_names.FORMATS` or of `vit_reading.FORMATS`.
        pyramid: Pyramid and box head of SoCo-FPN by mmdet's names, `neck.*` and `roi_head.bbox_head.*`; empty for other
            methods.
        facts: What the file or its format states about a ViT beyond its tensors.
    """

    path: str
    state: dict[str, Tensor]
    names: dict[str, str]
    kind: str
    role: str
    format: str
    pyramid: dict[str, Tensor] = field(default_factory=dict)
    facts: ViTFacts = NOTHING

    @property
    def architecture(self) -> str:
        """Description such as `ResNet-50` or `ViT of 12 blocks, width 384, patch 16`."""
        return architecture(self.state)


def read_pretrained(path: str, role: str = 'auto', allow_pickle: bool = False) -> Pretrained:
    """Reads a backbone from a checkpoint of this package or of another project.

    Args:
        path: File that `read_weights` can read. ViTs may have any format of `read_vit`. ResNets may have torchvision's
            names, also in one of two networks whose names `roles.py` lists, or detectron2's names.
        role: `student`, `teacher`, or `auto` for the network that the authors of the method transfer: the teacher for
            iBOT, DINO and their successors, and the student for most other methods.
        allow_pickle: Whether to trust the file and unpickle all of its content.

    Raises:
        MissingFile: The file does not exist.
        UserError: The file holds no supported backbone, none of that role, or several with unknown roles.
    """
    if role not in ROLES:
        raise UserError(
            f'PretrainedBackbone: role must be one of {", ".join(ROLES)}, got {role!r} '
            '(config key model.init_cfg.role).'
        )
    content = read_weights(path, allow_pickle)
    where = f'PretrainedBackbone: {path!r}'
    tensors = tensors_by_name(content, where)
    networks = find_networks(tensors, where)
    if networks is not None:
        return _resnet(path, tensors, networks, role)
    if any('_branch2' in key for key in tensors):
        raise UserError(
            f'PretrainedBackbone: {path!r} holds no supported ResNet; {nothing_found(tensors)} '
            '(config key model.init_cfg.checkpoint).'
        )
    return _vit(path, content, role)


def architecture(state: dict[str, Tensor]) -> str:
    """Returns a description of the architecture, derived from names and shapes of a backbone's tensors."""
    if 'cls_token' in state and 'patch_embed.projection.weight' in state:
        return describe_vit(state)
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


def _resnet(path: str, tensors: dict[str, tuple[str, Tensor]], networks: Networks, role: str) -> Pretrained:
    if role == 'auto':
        lone = 'student' if networks.student else 'teacher'
        role = networks.transferred if networks.student and networks.teacher else lone
    names = networks.teacher if role == 'teacher' else networks.student
    if not names:
        raise UserError(
            f'PretrainedBackbone: {path!r} holds no {role} with a ResNet; {nothing_found(tensors)} '
            '(config key model.init_cfg.role).'
        )
    beside = _pyramid_names(tensors, networks.format, 'teacher.' if role == 'teacher' else '')
    state, pyramid = ({name: tensors[key][1] for name, key in part.items()} for part in (names, beside))
    found = ONLY if networks.alone else role
    return Pretrained(
        path,
        state,
        {name: tensors[key][0] for name, key in (names | beside).items()},
        'ResNet',
        found,
        networks.format,
        pyramid,
    )


def _pyramid_names(tensors: Iterable[str], format: str, role: str) -> dict[str, str]:
    """Returns a dict that maps mmdet's names of pyramid and box head of SoCo-FPN to names in the checkpoint."""
    ours = {key: key for key in tensors} if format == 'mmdecouple' else {}
    if format == 'soco' and 'neck.fpn_convs.0.conv.weight' in tensors:
        ours = renamed(tensors, {theirs: own for own, theirs in soco_names(pyramid=True).items()})
    if f'{role}neck.pyramid.inner_blocks.0.0.weight' not in ours:
        return {}
    return {
        new: ours[old]
        for new, old in renamed(ours, {role + own: mmdet for own, mmdet in mmdet_names().items()}).items()
    }


def _vit(path: str, content: dict[str, Any], role: str) -> Pretrained:
    where = f'PretrainedBackbone: {path!r}'
    roles = networks_of(content, where)
    if role == 'teacher' and ONLY in roles:
        raise UserError(
            f"{where} holds a single network and no teacher; use role='auto' (config key model.init_cfg.role)."
        )
    if role == 'auto':
        role = transferred_vit(content, roles)
    weights = to_ours(content, role, where=where, heads=False)
    names = {
        key.removeprefix('backbone.'): theirs for key, theirs in weights.names.items() if key.startswith('backbone.')
    }
    found = ONLY if ONLY in roles else role
    return Pretrained(path, weights.backbone, names, 'ViT', found, weights.format, facts=weights.facts)


def transferred_vit(content: dict[str, Any], networks: dict[str, Held]) -> str | None:
    """Returns the role of the ViT that the authors of a method transfer; None for a network without a role.

    Args:
        content: Content of a checkpoint.
        networks: Its ViTs, as returned by `networks_of`.
    """
    if len(networks) < 2:
        return next((role for role in networks if role != ONLY), None)
    pair = networks['teacher'].pair
    # This package's iBOT has a center; Leopart and MaskAlign, which transfer the student, have none.
    ibot = pair.origin == 'mmdecouple' and 'class_center.value' in content.get('state_dict', content)
    return 'teacher' if ibot else pair.transferred
