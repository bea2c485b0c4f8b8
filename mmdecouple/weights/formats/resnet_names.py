"""Tensor names of ResNets, and of the other parts of SoCo and PixPro, in files of different projects."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .roles import ONLY, PAIRS, Pair, named_groups, plain_names, tell_apart

# Prefixes of torchvision's names that identify the project more precisely than the pair: those of MoCo are also used by
# DenseCL and ReSim.
_OF_PAIR = {
    'encoder_q.enc.': 'plrc',
    'encoder_q.backbone.': 'cp2',
    'encoder_k.enc.': 'plrc',
    'encoder_k.backbone.': 'cp2',
}
FORMATS = (
    *dict.fromkeys(
        ('mmdecouple', 'plrc', 'cp2', 'moco', 'soco', 'pixpro', 'torchvision', *(pair.origin for pair in PAIRS))
    ),
    'detectron2',
)
MARK = 'layer1.0.conv1.weight'
# PixPro's networks have the same names as SoCo's; its propagation module identifies it.
_PIXPRO = 'value_transform.'
_PART = re.compile(r'(conv1|bn1|stem|layer\d)\.')
# In models of detectron2, conv5 of a C4 detector is part of its heads.
_DETECTRON2 = re.compile(
    r'(?:backbone\.(?:bottom_up\.)?|roi_heads\.)?(?:stem|res([2-5])\.(\d+))\.'
    r'(conv|shortcut)(\d?)\.(norm\.)?(\w+)'
)


@dataclass(frozen=True)
class Networks:
    """ResNets in a file.

    Attributes:
        format: Format of the file, one of `FORMATS`.
        student: torchvision's name -> name in the file; empty without a student. A network without a role counts as
            student.
        teacher: The same dict for the teacher.
        transferred: Role of the backbone that the authors transfer, `student` or `teacher`.
        alone: Whether the file holds a single network without a role.
    """

    format: str
    student: dict[str, str]
    teacher: dict[str, str]
    transferred: str = 'student'
    alone: bool = False


def find_networks(names: Iterable[str], where: str = 'The checkpoint') -> Networks | None:
    """Returns the ResNets whose tensors have the given names; None if no supported ResNet is found.

    Args:
        names: Keys of the result of `tensors_by_name`.
        where: Name of the file in messages.

    Raises:
        UserError: There are several ResNets, and their names do not identify the student.
    """
    names = list(names)
    found = tell_apart(resnet_prefixes(names), where)
    if not found:
        student = {plain: name for name in sorted(names) if (plain := from_detectron2(name)) is not None}
        return Networks('detectron2', student, {}, alone=True) if MARK in student else None
    prefix, pair = next(iter(found.values()))
    format = _format(prefix, pair)
    if format == 'soco' and any(name.startswith(_PIXPRO) for name in names):
        format = 'pixpro'
    student, teacher = (_inside(names, found[role][0]) if role in found else {} for role in ('student', 'teacher'))
    if ONLY in found:
        return Networks(format, _inside(names, prefix), {}, alone=True)
    return Networks(format, student, teacher, pair.transferred)


def _format(prefix: str, pair: Pair | None) -> str:
    # The other parts of a model are known only if its backbone has exactly the name that this package or SoCo uses.
    whole = pair is not None and (
        pair.origin not in ('mmdecouple', 'soco') or prefix in (f'{pair.student}.', f'{pair.teacher}.')
    )
    return _OF_PAIR.get(prefix) or (pair.origin if whole else 'torchvision')


def resnet_prefixes(names: Iterable[str]) -> list[str]:
    """Returns the prefix of torchvision's names for each ResNet among names of tensors."""
    return sorted(name.removesuffix(MARK) for name in names if name == MARK or name.endswith(f'.{MARK}'))


def tensors_by_name(content: dict[str, Any], where: str) -> dict[str, tuple[str, Tensor]]:
    """Returns the tensors of the part of a checkpoint that holds ResNets.

    If several parts hold ResNets, the key of the part is prepended to the names.

    Args:
        content: Content of a checkpoint.
        where: Name of the file in messages.

    Returns:
        Dict that maps names without wrappers to (name in the file, tensor).

    Raises:
        UserError: Two tensors would have the same name.
    """
    groups = named_groups(content, resnet_prefixes, where)
    if groups:
        return {lead + plain: entry for lead, group in groups.items() for plain, entry in group.tensors.items()}
    held = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)
    names = [key for key, value in held.items() if isinstance(key, str) and isinstance(value, Tensor)]
    return {plain: (key, held[key]) for plain, key in plain_names(names, where).items()}


def nothing_found(names: Iterable[str]) -> str:
    """Returns the reason why no ResNet was found among names, as the end of a message."""
    names = list(names)
    if any('_branch2' in name for name in names):
        return (
            "its tensors have Caffe2's names, and such networks take BGR images and have other strides; use "
            "detectron2's ImageNetPretrained/torchvision/R-50.pkl instead"
        )
    return f'its tensors begin with {", ".join(names[:3]) or "nothing"}'


def from_detectron2(name: str) -> str | None:
    """Returns torchvision's name of a tensor of a ResNet in detectron2; None for any other tensor."""
    match = _DETECTRON2.fullmatch(name)
    if match is None:
        return None
    stage, block, kind, number, norm, end = match.groups()
    place = f'layer{int(stage) - 1}.{block}.' if stage else ''
    if kind == 'shortcut':
        return f'{place}downsample.{1 if norm else 0}.{end}'
    return f'{place}{"bn" if norm else "conv"}{number}.{end}'


def to_detectron2(name: str) -> str:
    """Returns detectron2's name of a tensor of torchvision's ResNet, as written by MoCo's converter."""
    name = re.sub(r'^layer(\d)', lambda match: f'res{int(match[1]) + 1}', name)
    name = name if name.startswith('res') else f'stem.{name}'
    name = re.sub(r'\bbn(\d)\.', r'conv\1.norm.', name)
    return name.replace('downsample.0.', 'shortcut.').replace('downsample.1.', 'shortcut.norm.')


def to_huggingface(name: str) -> str:
    """Returns the name of a tensor of torchvision's ResNet in `ResNetModel` of transformers."""
    name = re.sub(r'^layer(\d)\.(\d+)\.', lambda match: f'encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.', name)
    name = re.sub(r'^(conv|bn)1\.', r'embedder.embedder.\1.', name)
    name = re.sub(r'\.(conv|bn)(\d)\.', lambda match: f'.layer.{int(match[2]) - 1}.{match[1]}.', name)
    name = name.replace('.downsample.0.', '.shortcut.conv.').replace('.downsample.1.', '.shortcut.bn.')
    return name.replace('.conv.', '.convolution.').replace('.bn.', '.normalization.')


def soco_names(pyramid: bool) -> dict[str, str]:
    """Returns a dict that maps own prefixes to those of `hologerry/SoCo`.

    Args:
        pyramid: Whether the model of SoCo uses a pyramid; else it uses C4 features.
    """
    mlp = {'fc0.': 'linear1.', 'bn0.': 'bn1.', 'fc1.': 'linear2.'}
    table = {f'predictor.{ours}': f'predictor.{theirs}' for ours, theirs in mlp.items()}
    for role, end in (('', ''), ('teacher.', '_k')):
        table[f'{role}backbone.'] = f'encoder{end}.'
        projector = f'{role}neck.projector.' if pyramid else f'{role}neck.'
        table |= {projector + ours: f'projector{end}.{theirs}' for ours, theirs in mlp.items()}
        for index in range(4 if pyramid else 0):
            for kind, name in enumerate(('conv', 'bn')):
                table[f'{role}neck.pyramid.inner_blocks.{index}.{kind}.'] = f'neck{end}.lateral_convs.{index}.{name}.'
                table[f'{role}neck.pyramid.layer_blocks.{index}.{kind}.'] = f'neck{end}.fpn_convs.{index}.{name}.'
                table[f'{role}neck.convs.{index}.{name}.'] = f'head{end}.{name}{index + 1}.'
        if pyramid:
            table[f'{role}neck.fc.'] = f'head{end}.fc1.'
    return table


def pixpro_names(instance: bool) -> dict[str, str]:
    """Returns a dict that maps own prefixes to those of `zdaxie/PixPro`, with or without its instance branch."""
    table = {'predictor.transform.': _PIXPRO}
    for role, end in (('', ''), ('teacher.', '_k')):
        table |= {f'{role}backbone.': f'encoder{end}.', f'{role}neck.dense.': f'projector{end}.'}
        if instance:
            table[f'{role}neck.instance.'] = f'projector_instance{end}.'
    return table | ({'instance_predictor.': 'predictor.'} if instance else {})


def resim_names() -> dict[str, str]:
    """Returns a dict that maps prefixes of `Tete-Xiao/ReSim`, other than those of the backbone, to own prefixes."""
    levels = {'fc.': 'mlp.', 'fpn_output4.': 'outputs.1.', 'fpn_output3.': 'outputs.0.'}
    levels |= {f'fpn_lateral{level}.': f'laterals.{level - 3}.' for level in (3, 4, 5)}
    return {
        f'{network}.{theirs}': f'{ours}neck.{level}'
        for network, ours in (('encoder_q', ''), ('encoder_k', 'teacher.'))
        for theirs, level in levels.items()
    }


def mmdet_names() -> dict[str, str]:
    """Returns a dict that maps own prefixes of the student's pyramid and box head to those of mmdet's FPN and head.

    Source: `hologerry/SoCo converter_mmdetection/convert_mmdetection_Head.py`.
    """
    table = {'neck.fc.': 'roi_head.bbox_head.shared_fcs.0.'}
    for index in range(4):
        for kind, name in enumerate(('conv', 'bn')):
            table[f'neck.pyramid.inner_blocks.{index}.{kind}.'] = f'neck.lateral_convs.{index}.{name}.'
            table[f'neck.pyramid.layer_blocks.{index}.{kind}.'] = f'neck.fpn_convs.{index}.{name}.'
            table[f'neck.convs.{index}.{name}.'] = f'roi_head.bbox_head.shared_convs.{index}.{name}.'
    return table


def renamed(names: Iterable[str], table: dict[str, str]) -> dict[str, str]:
    """Replaces prefixes of names.

    Args:
        names: Names; those without a prefix in the table are omitted.
        table: Old prefix -> new prefix.

    Returns:
        Dict that maps new names to the given names.
    """
    return {new + name[len(old) :]: name for name in names for old, new in table.items() if name.startswith(old)}


def _inside(names: Iterable[str], prefix: str) -> dict[str, str]:
    return {name[len(prefix) :]: name for name in names if name.startswith(prefix) and _PART.match(name[len(prefix) :])}
