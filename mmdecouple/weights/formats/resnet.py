"""Conversion of ResNets, SoCo, PixPro and ReSim between the tensor names of this package and of other projects."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor

from mmdecouple.utils.errors import UserError

from .resnet_names import (
    FORMATS,
    find_networks,
    nothing_found,
    pixpro_names,
    renamed,
    resim_names,
    soco_names,
    tensors_by_name,
    to_detectron2,
    to_huggingface,
)

# Formats that hold one backbone -> function from torchvision's names to theirs.
LONE: dict[str, Callable[[str], str]] = dict(
    torchvision=str, timm=str, detectron2=to_detectron2, huggingface=to_huggingface
)
WRITABLE = ('mmdecouple', 'soco', 'pixpro', *LONE)
# (whether the blocks are bottlenecks, number of blocks in the third stage) -> depth.
_DEPTHS = {(False, 2): 18, (False, 6): 34, (True, 6): 50, (True, 23): 101, (True, 36): 152}
_LIMIT = 6
_OWN = ('backbone.', 'neck.', 'predictor.', 'instance_predictor.', 'teacher.')


@dataclass(frozen=True)
class ResNetWeights:
    """Content of a checkpoint, with the names of this package.

    Attributes:
        format: Format of the checkpoint, one of `FORMATS`.
        depth: Depth of the ResNet: 18, 34, 50, 101 or 152.
        state: Own name (`backbone.*`, `neck.*`, `predictor.*`, `instance_predictor.*`, `teacher.*`) -> tensor.
        names: Own name -> name in the checkpoint.
        ignored: Names in the checkpoint that were not converted.
        transferred: Role of the backbone that the authors of the method transfer, `student` or `teacher`.
    """

    format: str
    depth: int
    state: dict[str, Tensor]
    names: dict[str, str]
    ignored: list[str]
    transferred: str = 'student'


def to_ours(content: dict[str, Any], format: str = 'auto', where: str = 'The checkpoint') -> ResNetWeights:
    """Converts the tensor names of a checkpoint to those of this package.

    Args:
        content: Content of a checkpoint: a state dict, or a dict with `state_dict` or `model`.
        format: Expected format, or `auto` to detect it.
        where: Name of the checkpoint in messages.

    Raises:
        UserError: The format is unknown or not the expected one, or a backbone is not a complete ResNet.
    """
    if format not in ('auto', *FORMATS):
        raise UserError(f'format must be one of auto, {", ".join(FORMATS)}, got {format!r}.')
    bare = tensors_by_name(content, where)
    networks = find_networks(bare, where)
    if networks is None:
        raise UserError(f'{where} holds no supported ResNet; {nothing_found(bare)}.')
    if format not in ('auto', networks.format):
        raise UserError(
            f'{where} holds the tensor names of format {networks.format}, not of {format}; its tensors '
            f'begin with {", ".join(list(bare)[:3])}.'
        )
    if networks.format == 'mmdecouple':
        names = {key: key for key in bare if key.startswith(_OWN)}
    elif networks.format == 'soco':
        table = soco_names(pyramid='neck.fpn_convs.0.conv.weight' in bare)
        names = renamed(bare, {name: ours for ours, name in table.items()})
    elif networks.format == 'pixpro':
        table = pixpro_names(instance='projector_instance.linear1.weight' in bare)
        names = renamed(bare, {name: ours for ours, name in table.items()})
    else:
        names = {
            prefix + plain: name
            for prefix, network in (('backbone.', networks.student), ('teacher.backbone.', networks.teacher))
            for plain, name in network.items()
        }
        if 'encoder_q.fpn_lateral5.weight' in bare:
            names |= renamed(bare, resim_names())
    state = {ours: bare[name][1] for ours, name in names.items()}
    depth = _check_backbone(state, 'backbone.', where)
    if any(key.startswith('teacher.backbone.') for key in state):
        _check_backbone(state, 'teacher.backbone.', where)
    ignored = [name for name in bare if name not in set(names.values())]
    converted = {id(value) for _, value in bare.values()}
    ignored += [
        key
        for key, value in content.items()
        if not isinstance(value, Tensor)
        and not (isinstance(value, dict) and any(id(item) in converted for item in value.values()))
    ]
    names = {ours: bare[name][0] for ours, name in names.items()}
    transferred = networks.transferred if networks.teacher else 'student'
    return ResNetWeights(networks.format, depth, state, names, ignored, transferred)


def from_ours(weights: ResNetWeights, format: str, role: str = 'student') -> dict[str, Any]:
    """Returns the content of a checkpoint in another format.

    Args:
        weights: Result of `to_ours`.
        format: One of `WRITABLE`; the formats in `LONE` hold the backbone of one network, without classifier.
        role: Network of that backbone: `student` or `teacher`.

    Raises:
        UserError: The checkpoint has no such network, or `soco` or `pixpro` is requested for weights of
            another method.
    """
    if format == 'mmdecouple':
        return dict(state_dict=weights.state)
    if format in LONE:
        state = {LONE[format](name): weights.state[ours] for name, ours in backbone_names(weights, role).items()}
        # detectron2 keeps the names of a pickle with an author, and matches tensors by the ends of their names.
        author = dict(model=state, __author__='mmdecouple', matching_heuristics=True)
        return author if format == 'detectron2' else state
    if format == 'soco':
        table, name = soco_names(pyramid=any(key.startswith('neck.pyramid.') for key in weights.state)), 'SoCo'
    else:
        table, name = pixpro_names(instance=any(key.startswith('neck.instance.') for key in weights.state)), 'PixPro'
    missing = [prefix for prefix in table if not any(key.startswith(prefix) for key in weights.state)]
    odd = [key for key in weights.state if not key.startswith(tuple(table))]
    if missing or odd:
        what = f'lacks {_some(missing)}' if missing else f'has {_some(odd)}, which the format does not support'
        raise UserError(
            f'Format {format} holds both networks of {name}, but the checkpoint {what}; choose another format.'
        )
    names = renamed(dict.fromkeys(weights.state), table)
    # The loading code of the authors only prints the epoch.
    return dict(model={f'module.{theirs}': weights.state[ours] for theirs, ours in names.items()}, epoch=0)


def backbone_names(weights: ResNetWeights, role: str) -> dict[str, str]:
    """Returns a dict that maps torchvision's names of the tensors of one backbone to own names.

    Args:
        weights: Result of `to_ours`.
        role: `student` or `teacher`.

    Raises:
        UserError: The checkpoint has no such network.
    """
    prefix = 'backbone.' if role == 'student' else 'teacher.backbone.'
    found = {key.removeprefix(prefix): key for key in weights.state if key.startswith(prefix)}
    if not found:
        raise UserError(f'The checkpoint holds no {role}; choose the other network (tool: --role).')
    return found


def _check_backbone(state: dict[str, Tensor], prefix: str, where: str) -> int:
    """Returns the depth of a complete backbone, and adds counters of batch norm that old files lack to `state`."""
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    third = {int(match[1]) for match in map(re.compile(r'layer3\.(\d+)\.').match, own) if match}
    depth = _DEPTHS.get(('layer1.0.conv3.weight' in own, max(third, default=-1) + 1))
    if depth is None:
        raise UserError(
            f'{where} holds no ResNet of 18, 34, 50, 101 or 152 layers under {prefix}*: its third stage '
            f'has {len(third)} blocks; use weights of one of these depths.'
        )
    with torch.device('meta'):
        expected = getattr(torchvision.models, f'resnet{depth}')().state_dict()
    expected = {key: value.shape for key, value in expected.items() if not key.startswith('fc.')}
    for key in expected:
        if key.endswith('num_batches_tracked') and key not in own:
            own[key] = state[prefix + key] = torch.zeros((), dtype=torch.long)
    problems = {
        'lacks': [key for key in expected if key not in own],
        'has the unknown tensors': [key for key in own if key not in expected],
        'has another shape of': [key for key in expected if key in own and own[key].shape != expected[key]],
    }
    for what, keys in problems.items():
        if keys:
            raise UserError(
                f'{where}: the ResNet-{depth} under {prefix}* {what} {_some(keys)}; use weights of a plain ResNet.'
            )
    return depth


def _some(names: list[str]) -> str:
    more = f' and {len(names) - _LIMIT} more' if len(names) > _LIMIT else ''
    return ', '.join(names[:_LIMIT]) + more
