"""Conversion of ViTs between the tensor names of this package and of other projects."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmdecouple.utils.errors import UserError
from mmdecouple.weights.weight_files import read_weights

from .roles import ROLES
from .vit_arch import vit_depth
from .vit_facts import KEY, NOTHING, ViTFacts, known_facts, stated_facts
from .vit_heads import (
    alignment_to_ours,
    centers_from_ours,
    centers_to_ours,
    head_from_ours,
    head_to_ours,
    prototypes_from_ours,
    prototypes_to_ours,
)
from .vit_names import VIT_NAMES, ViTNames
from .vit_parts import fold_positions, parted, with_periods
from .vit_reading import FORMATS, choose_network, recognize, roles_of, take_backbone

__all__ = [
    'FORMATS',
    'ROLES',
    'WHOLE',
    'WRITABLE',
    'ViTWeights',
    'from_ours',
    'ibot_checkpoint',
    'leopart_checkpoint',
    'own_checkpoint',
    'read_vit',
    'roles_of',
    'to_ours',
    'vit_checkpoint',
]
WRITABLE = tuple(name for name in FORMATS if name != 'clip')
# Formats that hold student, teacher and heads.
WHOLE = ('mmdecouple', 'ibot', 'leopart')
# Formats whose networks have a mask token.
_MASKED = ('dinov2', 'dinov3')
_SCALE = 'layers.0.attn.gamma1.weight'
_META = 'meta'
# Tensors that a format may lack.
_LEFT_OUT = ('mask_token', 'rope.periods')


@dataclass(frozen=True)
class ViTWeights:
    """One network of a checkpoint, with the names of this package.

    Attributes:
        format: Format of the checkpoint, one of `FORMATS`.
        backbone: Complete backbone, float32, without prefix: `cls_token` `(1, 1, C)`, `pos_embed` `(1, 1 + P, C)`
            unless its positions are rotary, `register_tokens` `(1, R, C)` if it has any, ...
        rest: Other parts that methods of this package use: `neck.*`, `class_center.value`, `patch_center.value`.
        ignored: Names in the checkpoint that were not converted.
        names: Own name (`backbone.*`, or as in `rest`) -> name in the checkpoint.
        facts: What the file or its format states about the network beyond its tensors.
    """

    format: str
    backbone: dict[str, Tensor]
    rest: dict[str, Tensor]
    ignored: list[str]
    names: dict[str, str]
    facts: ViTFacts = NOTHING


def read_vit(path: str, role: str | None = None, format: str = 'auto', allow_pickle: bool = False) -> ViTWeights:
    """Reads one ViT from a file in any supported format.

    Number of heads, base of rotary periods, grid of positions, eps of the norms and activation cannot be derived from
    tensors: see `ViTFacts`.

    Args:
        path: Weight file.
        role: See `to_ours`.
        format: See `to_ours`.
        allow_pickle: See `read_weights`.

    Raises:
        UserError: See `read_weights` and `to_ours`.
    """
    return to_ours(read_weights(path, allow_pickle), role, format, repr(path))


def to_ours(
    content: dict[str, Any],
    role: str | None = None,
    format: str = 'auto',
    where: str = 'The checkpoint',
    heads: bool = True,
) -> ViTWeights:
    """Extracts one network from a checkpoint and converts its tensor names to those of this package.

    Args:
        content: Content of a checkpoint: a state dict, or a dict with `student` and `teacher` (DINO, iBOT), `model`
            (MAE, MaskAlign) or `state_dict`; two networks may have the names of any pair of `roles.py`.
        role: `teacher` or `student`, for checkpoints that hold both; None for the teacher. A single network without a
            role is returned for any role.
        format: Expected format, or `auto` to detect it.
        where: Name of the checkpoint in messages.
        heads: Whether to convert the parts around the backbone, too; if False, they may have any form.

    Raises:
        UserError: The format is unknown or not the expected one; the network is missing, or the names of several
            networks do not identify their roles; the backbone lacks a tensor, has a tensor that the ViT of this package
            lacks, or has inconsistent shapes; or class and patch tokens have different heads.
    """
    for key, value, choices in (('role', role or ROLES[0], ROLES), ('format', format, ('auto', *FORMATS))):
        if value not in choices:
            raise UserError(f'{key} must be one of {", ".join(choices)}, got {value!r}.')
    network, others = choose_network(content, role, where)
    names, layers = recognize(network, content, format, where)
    state, prefix = network.state, network.prefix
    where = f'{where} (format {names.format})'
    facts = stated_facts(content, where)
    backbone, origin = take_backbone(state, names, prefix, layers, facts, where)
    if not heads:
        rest = {}
    elif names.format == 'mmdecouple':
        rest = _own_rest(state, prefix)
    elif network.pair is not None and network.pair.origin in ('dino', 'leopart'):
        rest = {**head_to_ours(state, where), **centers_to_ours(content), **prototypes_to_ours(state)}
    else:
        rest = alignment_to_ours(state, getattr(content.get('args'), 'loss_weights', 'top5'))
    taken = {f'backbone.{ours}': theirs for ours, theirs in origin.items()}
    taken.update({ours: theirs for ours, (theirs, _) in rest.items()})
    used = {name for theirs in taken.values() for name in theirs.split(' + ')}
    stated = {_META} if KEY in (content.get(_META) or ()) else set()
    known = {network.group, *stated, *(theirs.partition('.')[0] for theirs in used if theirs not in state)}
    beside = {
        key for key, value in content.items() if key not in known and (network.group or not isinstance(value, Tensor))
    }
    if names.format != 'mmdecouple':
        beside |= set(others)
    return ViTWeights(
        names.format,
        backbone,
        {ours: value.float() for ours, (_, value) in rest.items()},
        sorted(set(state) - used) + sorted(map(str, beside)),
        taken,
        known_facts(facts, names.format, network.pair, backbone),
    )


def from_ours(backbone: dict[str, Tensor], format: str) -> dict[str, Tensor]:
    """Converts a backbone to the tensor names and shapes of another format.

    A mask token is omitted, or added as zeros, if the networks of the format lack or have one. timm has no position of
    the class token beside registers: it is added to the class token. timm and Hugging Face have no periods of rotary
    positions, but compute those of DINOv3.

    Args:
        backbone: Backbone as in `ViTWeights`.
        format: One of `WRITABLE`.

    Raises:
        UserError: The format cannot be written, or does not support a tensor.
    """
    if format not in WRITABLE:
        raise UserError(f'format must be one of {", ".join(WRITABLE)}, got {format!r}.')
    names = _table_for(backbone, format)
    table, state = names.expand(vit_depth(backbone)), {}
    if format in _MASKED or (format == 'huggingface' and names.mark):
        backbone = dict(mask_token=backbone['cls_token'].new_zeros(1, backbone['cls_token'].shape[-1])) | backbone
    elif format == 'huggingface':
        backbone = {ours: value for ours, value in backbone.items() if ours != 'mask_token'}
    for ours, value in (fold_positions(backbone) if format == 'timm' else backbone).items():
        if ours in table:
            axes = (1, 1, -1) if table[ours] == ('embeddings.mask_token',) and 'pos_embed' not in table else value.shape
            state.update(parted(value.reshape(axes), table[ours]))
    return state


def ibot_checkpoint(student: ViTWeights, teacher: ViTWeights) -> dict[str, dict[str, Tensor]]:
    """Returns a checkpoint of `bytedance/ibot` `main_ibot.py`, without its optimizer, from both networks of iBOT.

    Args:
        student: Student of this package's iBOT.
        teacher: Teacher of this package's iBOT.

    Raises:
        UserError: A network has no head.
    """
    networks = []
    for weights, dropped in ((student, None), (teacher, 'mask_token')):
        head = head_from_ours(weights.rest)
        if not head:
            raise UserError(
                'Format ibot holds student, teacher and their heads, but this checkpoint has no DINOHead; '
                'choose one network (tool: --role), of which only the backbone is written.'
            )
        backbone = from_ours({key: value for key, value in weights.backbone.items() if key != dropped}, 'ibot')
        networks.append({**{f'backbone.{key}': value for key, value in backbone.items()}, **head})
    return dict(
        student={f'module.{key}': value for key, value in networks[0].items()},
        teacher=networks[1],
        ibot_loss=centers_from_ours(teacher.rest),
    )


def leopart_checkpoint(student: ViTWeights, teacher: ViTWeights) -> dict[str, dict[str, Tensor]]:
    """Returns a checkpoint of `MkuuWaUjinga/leopart`, weights only, from both networks of Leopart.

    Args:
        student: Student of this package's Leopart.
        teacher: Teacher of this package's Leopart.

    Raises:
        UserError: A network has no head with prototypes.
    """
    state = {}
    for weights, prefix in ((student, 'model.'), (teacher, 'teacher.')):
        head = prototypes_from_ours(weights.rest)
        if not head:
            raise UserError(
                'Format leopart holds student, teacher and their heads, but this checkpoint has no '
                'PrototypeHead; choose one network (tool: --role), of which only the backbone is written.'
            )
        network = {**from_ours(weights.backbone, 'leopart'), **head}
        state.update({prefix + key: value for key, value in network.items()})
    return dict(state_dict=state)


def own_checkpoint(student: ViTWeights, teacher: ViTWeights | None = None) -> dict[str, Tensor]:
    """Returns the state dict of an algorithm of this package.

    A teacher without a mask token receives that of the student, because the teacher of an algorithm is a copy of the
    student with an unused mask token.

    Args:
        student: Student of the algorithm.
        teacher: Teacher of the algorithm; None for an algorithm without a teacher.
    """
    student_backbone = with_periods(student.backbone, student.facts)
    state = {**{f'backbone.{key}': value for key, value in student_backbone.items()}, **student.rest}
    if teacher is not None:
        token = {key: value for key, value in student.backbone.items() if key == 'mask_token'}
        backbone = with_periods({**token, **teacher.backbone}, teacher.facts)
        state.update({f'teacher.backbone.{key}': value for key, value in backbone.items()})
        state.update({f'teacher.{key}': value for key, value in teacher.rest.items() if key.startswith('neck.')})
    return state


def vit_checkpoint(networks: list[ViTWeights], format: str) -> dict[str, Any]:
    """Returns the content of a checkpoint in any format.

    Args:
        networks: Teacher and student, for a format in `WHOLE`, or a single network.
        format: One of `WRITABLE`.

    Raises:
        UserError: See `from_ours`, `ibot_checkpoint` and `leopart_checkpoint`.
    """
    if format == 'mmdecouple':
        return own_checkpoint(networks[-1], *networks[:-1])
    if len(networks) == 2:
        write = ibot_checkpoint if format == 'ibot' else leopart_checkpoint
        return write(student=networks[1], teacher=networks[0])
    state = from_ours(networks[0].backbone, format)
    return dict(state_dict=state) if format in ('ibot', 'leopart') else state


def _table_for(backbone: dict[str, Tensor], format: str) -> ViTNames:
    """Returns the table of a format that has a name for every tensor of a backbone."""
    tables = [names for names in VIT_NAMES if names.format == format]
    for names in tables:
        known = names.expand(vit_depth(backbone))
        lacking = [ours for ours in backbone if ours not in known and ours not in _LEFT_OUT]
        rotary = format != 'mmdecouple' and 'pos_embed' in known and 'pos_embed' not in backbone
        unscaled = (names.mark or format in _MASKED) and _SCALE not in backbone
        if not lacking and not rotary and not unscaled:
            return names
        if names is tables[0]:
            first = 'rope.periods' if rotary else lacking[0] if lacking else ''
    if not first:
        raise UserError(f'Format {format} requires a ViT with LayerScale, whose tensors are missing; choose another.')
    raise UserError(f'Format {format} does not support the backbone tensor {first}; choose another format.')


def _own_rest(state: dict[str, Tensor], prefix: str) -> dict[str, tuple[str, Tensor]]:
    neck = prefix.removesuffix('backbone.') + 'neck.'
    rest = {'neck.' + key.removeprefix(neck): (key, state[key]) for key in state if key.startswith(neck)}
    return {**rest, **{key: (key, state[key]) for key in ('class_center.value', 'patch_center.value') if key in state}}
