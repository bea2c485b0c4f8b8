"""Matching of the tensors of a downstream model with those of a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mmdecouple.utils.errors import UserError

from .formats.vit_arch import vit_grid, vit_settings
from .formats.vit_facts import facts_of, has_part
from .pretrained import Pretrained, architecture

_BACKBONE, _SHARED_HEAD = 'backbone.', 'roi_head.shared_head.'
# Tensor that identifies a model with a pyramid or a box head of SoCo-FPN -> prefixes of the tensors of that part.
_PYRAMID = {
    'neck.lateral_convs.0.conv.weight': ('neck.lateral_convs.', 'neck.fpn_convs.'),
    'roi_head.bbox_head.shared_convs.0.conv.weight': ('roi_head.bbox_head.shared_',),
}
_ACCEPTED = ('loaded', 'resized', 'new', 'unused')
_LIMIT = 4


@dataclass(frozen=True)
class Match:
    """One row of the match table.

    Attributes:
        source: Name in the checkpoint; None if it has no such tensor.
        target: Name in the model; None if it has no such tensor.
        shape: Shape in the model, or in the checkpoint if the model has no such tensor.
        status: `loaded`; `resized` (positions); `new` (not part of pre-training); `unused` (not part of the model);
            `missing`; `another shape`; `differs` (right shape, other values).
        value: Value that the model must hold; None if it comes from no checkpoint.
    """

    source: str | None
    target: str | None
    shape: tuple[int, ...]
    status: str
    value: Tensor | None = None

    @property
    def accepted(self) -> bool:
        """Whether a run may start with this row."""
        return self.status in _ACCEPTED


def match(model: nn.Module, weights: Pretrained, pyramid: bool = True) -> list[Match]:
    """Pairs the tensors of `backbone` and, for C4, of `roi_head.shared_head` with those of a checkpoint.

    A pyramid in the checkpoint is paired with mmdet's FPN, and its box head with a box head that has convolutions.

    Args:
        model: Detector or segmentor.
        weights: Result of `read_pretrained`.
        pyramid: Whether to pair pyramid and box head.

    Returns:
        One row for every tensor of the model or of the checkpoint.

    Raises:
        UserError: Model and checkpoint have different architectures or strides.
    """
    targets = _targets(model)
    _check_architecture(model, targets, weights)
    if weights.pyramid and pyramid:
        targets |= _pyramid_targets(model)
    given = weights.state | weights.pyramid
    rows, used = [], set()
    for target, (name, own) in targets.items():
        row = Match(weights.names.get(name), target, tuple(own.shape), 'loaded', given.get(name))
        used.add(name)
        if target.startswith(_SHARED_HEAD) and not name.startswith('layer'):
            row = replace(row, source=None, status='new', value=None)
        elif row.value is None and name.endswith('.attn.qkv.bias'):
            # A projection without bias.
            row = replace(row, value=torch.zeros(own.shape))
        elif row.value is None:
            # Old files have no counters, and nothing uses their values; timm's and Hugging Face's have no periods.
            row = replace(row, status='new' if name.endswith(('num_batches_tracked', 'rope.periods')) else 'missing')
        else:
            if name == 'pos_embed':
                row = _with_positions(row, model.backbone, weights)
            if row.value.shape != own.shape:
                row = replace(row, status='another shape', value=None)
        rows.append(row)
    rows += [
        Match(weights.names[name], None, tuple(value.shape), 'unused')
        for name, value in given.items()
        if name not in used
    ]
    return rows


def compare(model: nn.Module, rows: Sequence[Match]) -> list[Match]:
    """Returns the rows, with status `differs` where the model does not hold the expected value bit for bit."""
    state = model.state_dict()
    return [
        replace(row, status='differs')
        if row.value is not None and not torch.equal(state[row.target].cpu(), row.value.to(state[row.target].dtype))
        else row
        for row in rows
    ]


def problems(rows: Sequence[Match]) -> str:
    """Returns a summary of the rows that are not accepted, for an error message; empty if all are."""
    found = []
    for status in dict.fromkeys(row.status for row in rows if not row.accepted):
        names = [row.target for row in rows if row.status == status]
        more = f' and {len(names) - _LIMIT} more' if len(names) > _LIMIT else ''
        found.append(f'{len(names)} {status} ({", ".join(names[:_LIMIT])}{more})')
    return '; '.join(found)


def _targets(model: nn.Module) -> dict[str, tuple[str, Tensor]]:
    """Returns a dict that maps names in the model to (name in a backbone, tensor)."""
    return {
        key: (key.removeprefix(prefix), value)
        for prefix in (_BACKBONE, _SHARED_HEAD)
        for key, value in model.state_dict().items()
        if key.startswith(prefix)
    }


def _pyramid_targets(model: nn.Module) -> dict[str, tuple[str, Tensor]]:
    """Returns the same dict for pyramid and box head, as far as the model has these parts."""
    state = model.state_dict()
    prefixes = tuple(prefix for first, places in _PYRAMID.items() if first in state for prefix in places)
    return {key: (key, value) for key, value in state.items() if prefixes and key.startswith(prefixes)}


def _check_architecture(model: nn.Module, targets: dict[str, tuple[str, Tensor]], weights: Pretrained) -> None:
    own = architecture(dict(targets.values()))
    if not targets or own != weights.architecture:
        c4 = any(key.startswith(_SHARED_HEAD) for key in targets)
        raise UserError(
            f'PretrainedBackbone: {weights.path!r} holds a {weights.architecture}, but this '
            f'{"C4 task" if c4 else "model"} is built on a {own}; choose a task for this architecture, or '
            'another checkpoint (config key model.init_cfg.checkpoint).'
        )
    differing = weights.facts.differences(facts_of(model.backbone))
    if weights.kind == 'ViT':
        given = vit_settings(weights.state, weights.facts)
        # What the network lacks would be dropped; without rotary positions, biases of keys have no effect.
        for key in ('qkv_bias', 'pre_norm', *(('key_bias',) if given['position'] == 'rope' else ())):
            if given[key] and not has_part(model.backbone, key):
                differing.append(f'{key}=True (not False)')
    if differing:
        raise UserError(
            f'PretrainedBackbone: {weights.path!r} requires the settings {", ".join(differing)} of the backbone; set '
            'them in model.backbone, or choose another checkpoint (config key model.init_cfg.checkpoint).'
        )
    shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
    for key, module in (('backbone', model.backbone), ('roi_head.shared_head', shared)):
        if getattr(module, 'style', 'pytorch') != 'pytorch':
            raise UserError(
                f'PretrainedBackbone: {weights.path!r} was trained with stride in the 3 x 3 convolutions; '
                f"set the config key model.{key}.style to 'pytorch', got {module.style!r}."
            )


def _with_positions(row: Match, backbone: nn.Module, weights: Pretrained) -> Match:
    """Returns the row with the position embedding resized from the grid of the checkpoint to that of a ViT."""
    source, grid = vit_grid(weights.state, weights.facts), tuple(backbone.patch_resolution)
    if grid == source:
        return row
    return replace(row, status='resized', value=backbone.resized_positions(row.value, source, grid))
