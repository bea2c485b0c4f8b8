"""Networks in a checkpoint, and their roles of student and teacher."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmdecouple.utils.errors import UserError, shown

# The teacher is the default if a checkpoint holds both.
ROLES = ('teacher', 'student')
ONLY = 'only'


@dataclass(frozen=True)
class Pair:
    """Names of two networks in one file.

    Args:
        origin: Project that uses these names.
        student: Start of the names of the student's tensors.
        teacher: Start of the names of the teacher's tensors.
        transferred: Role of the backbone that the authors transfer.
    """

    origin: str
    student: str
    teacher: str
    transferred: str = 'student'


PAIRS = (
    Pair('mmdecouple', 'backbone', 'teacher.backbone'),
    Pair('dino', 'student', 'teacher', 'teacher'),  # also iBOT, DINOv2 and DINOv3
    Pair('leopart', 'model', 'teacher'),
    Pair('lightly', 'student_backbone', 'teacher_backbone', 'teacher'),
    Pair('lightly', 'backbone', 'backbone_momentum'),
    Pair('solo-learn', 'backbone', 'momentum_backbone'),
    Pair('moco', 'encoder_q', 'encoder_k'),
    Pair('mocov3', 'base_encoder', 'momentum_encoder'),
    Pair('soco', 'encoder', 'encoder_k'),
    Pair('byol', 'online', 'target'),
    Pair('byol', 'online_network', 'target_network'),
    Pair('byol', 'online_encoder', 'target_encoder'),
    Pair('byol', 'online_network_state_dict', 'target_network_state_dict'),
    Pair('ijepa', 'encoder', 'target_encoder', 'teacher'),
    Pair('mmselfsup', 'online_net', 'target_net'),
    Pair('mmpretrain', 'backbone', 'target_net'),
    Pair('mmpretrain', 'backbone', 'encoder_k'),
    Pair('mmpretrain', 'backbone', 'momentum_encoder'),
    Pair('timm', 'state_dict', 'state_dict_ema', 'teacher'),
    Pair('timm', 'model', 'model_ema', 'teacher'),
)
# Names that imply no role if a file holds a single network.
_PLAIN = ('backbone', 'encoder', 'model', 'state_dict')
# Frozen teachers of MaskAlign, and Gram teachers of DINOv3 and of this package (`terms`), which are not trained.
_FROZEN = ('clip_model', 'dino_model', 'gram', 'terms')
# Parts that may occur between the name of a network and those of its tensors.
_INNER = {'0', 'backbone', 'base', 'body', 'enc', 'encoder', 'model', 'net', 'trunk', 'vision_model', 'visual', 'vit'}
# Parts that wrappers of modules insert into names: data parallelism, torch.compile, sharding, recomputation.
_WRAPPERS = {'module', '_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module'}
_CHUNKED = re.compile(r'(^|\.)blocks\.\d+\.(\d+)\.(?=norm|attn|mlp|ls)')


@dataclass(frozen=True)
class Held:
    """Network of a checkpoint.

    Attributes:
        state: Name, without that of the network -> tensor, including heads.
        prefix: Prefix of the names of its backbone in `state`.
        root: Name of the network in the file, for messages; empty for a network without a name.
        group: Key in the checkpoint of the dict that holds the network; None if the checkpoint itself holds it.
        pair: Pair to which its name belongs; None for a network without a role.
    """

    state: dict[str, Tensor]
    prefix: str
    root: str
    group: str | None
    pair: Pair | None


@dataclass(frozen=True)
class Group:
    """Part of a checkpoint.

    Attributes:
        key: Key of the part in the checkpoint; None for tensors at the top level.
        tensors: Name without wrappers -> (name in the file, tensor).
    """

    key: str | None
    tensors: dict[str, tuple[str, Tensor]]


PrefixFinder = Callable[[Collection[str]], Collection[str]]


def plain_names(names: Iterable[str], where: str, chunks: bool = False) -> dict[str, str]:
    """Removes the parts that wrappers of modules insert into names.

    Args:
        names: Names of tensors.
        where: Name of the file in messages.
        chunks: Whether to merge DINOv2's chunks of blocks, `blocks.CHUNK.BLOCK`.

    Returns:
        Dict that maps names without these parts to the given names.

    Raises:
        UserError: Two tensors would have the same name.
    """
    found: dict[str, str] = {}
    for name in names:
        plain = '.'.join(part for part in name.split('.') if part not in _WRAPPERS)
        plain = _CHUNKED.sub(r'\1blocks.\2.', plain) if chunks else plain
        if plain in found:
            raise UserError(
                f'{where} holds {shown(found[plain])} and {shown(name)}, which are equal without the '
                'parts that wrappers of modules add; remove one of them.'
            )
        found[plain] = name
    return found


def named_groups(
    content: dict[str, Any], prefixes_of: PrefixFinder, where: str, chunks: bool = False
) -> dict[str, Group]:
    """Returns the parts of a checkpoint that hold networks.

    Args:
        content: Content of a checkpoint: tensors, and dicts of tensors by key.
        prefixes_of: Function that maps names of tensors to the prefixes of the networks among them.
        where: Name of the file in messages.
        chunks: See `plain_names`.

    Returns:
        Dict that maps a unique prefix for the names of each part to the part.

    Raises:
        UserError: Two tensors would have the same name.
    """
    parts = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, dict)}
    groups = [
        Group(None, _tensors(content, where, chunks)),
        *(Group(key, _tensors(part, where, chunks)) for key, part in parts.items()),
    ]
    groups = [group for group in groups if prefixes_of(group.tensors)]
    return {
        ''
        if group.key is None or (len(groups) == 1 and (group.key in _PLAIN or not _pairs_of(f'{group.key}.')))
        else f'{group.key}.': group
        for group in groups
    }


def held_networks(
    content: dict[str, Any], prefixes_of: PrefixFinder, where: str, chunks: bool = False
) -> dict[str, Held]:
    """Returns the networks of a checkpoint by role.

    Args:
        content: See `named_groups`.
        prefixes_of: See `named_groups`.
        where: See `named_groups`.
        chunks: See `plain_names`.

    Returns:
        Dict with the keys `student` and `teacher`, one of them, or `only`; empty without networks.

    Raises:
        UserError: There are several networks, and no known project uses their names.
    """
    groups = named_groups(content, prefixes_of, where, chunks)
    leads = {lead + prefix: lead for lead, group in groups.items() for prefix in prefixes_of(group.tensors)}
    return {
        role: _held(groups[leads[full]], leads[full], full, role, pair)
        for role, (full, pair) in tell_apart(leads, where).items()
    }


def tell_apart(prefixes: Collection[str], where: str) -> dict[str, tuple[str, Pair | None]]:
    """Assigns roles to the networks of a file.

    Args:
        prefixes: Prefix of the names of each network, such as `student.backbone.`.
        where: Name of the file in messages.

    Returns:
        Dict that maps roles to the prefix of the network and the pair to which the prefix belongs.

    Raises:
        UserError: There are several networks, and no known project uses their names.
    """
    trained = [prefix for prefix in prefixes if prefix.split('.')[0] not in _FROZEN] or list(prefixes)
    if len(trained) < 2:
        return {role: (prefix, pair) for prefix in trained for role, pair in [_lone_role(prefix)]}
    lead = _common_lead(trained)
    for pair in PAIRS:
        for student, teacher in (trained, trained[::-1]) if len(trained) == 2 else ():
            if _is_called(student[len(lead) :], pair.student) and _is_called(teacher[len(lead) :], pair.teacher):
                return dict(teacher=(teacher, pair), student=(student, pair))
    names = ', '.join(f'{prefix}*' for prefix in trained[:4]) + (', ...' if len(trained) > 4 else '')
    raise UserError(
        f'{where} holds {len(trained)} networks, {names}, and their names do not identify the student '
        'and the teacher; save the desired network in a separate file.'
    )


def _is_called(prefix: str, root: str) -> bool:
    rest = prefix.removeprefix(f'{root}.')
    return len(rest) < len(prefix) and set(rest.split('.')[:-1]) <= _INNER


def _pairs_of(prefix: str) -> list[tuple[str, Pair]]:
    return [(role, pair) for pair in PAIRS for role in ROLES if _is_called(prefix, getattr(pair, role))]


def _lone_role(prefix: str) -> tuple[str, Pair | None]:
    """Returns the role that the name of a single network implies, and a pair in which it has this name."""
    found = _pairs_of(prefix)
    if found and not any(_is_called(prefix, name) for name in _PLAIN):
        # `teacher.backbone` belongs to this package only in a file that also holds a student.
        return found[-1] if found[0][1].origin == 'mmdecouple' else found[0]
    return ONLY, next((pair for _, pair in found), None)


def _common_lead(prefixes: list[str]) -> str:
    lead = ''
    while True:
        longer = lead + ''.join(prefixes[0][len(lead) :].partition('.')[:2])
        if not all(prefix.startswith(longer) and prefix != longer for prefix in prefixes):
            return lead
        lead = longer


def _tensors(part: dict[Any, Any], where: str, chunks: bool) -> dict[str, tuple[str, Tensor]]:
    names = [key for key, value in part.items() if isinstance(key, str) and isinstance(value, Tensor)]
    return {plain: (key, part[key]) for plain, key in plain_names(names, where, chunks).items()}


def _held(group: Group, lead: str, full: str, role: str, pair: Pair | None) -> Held:
    state = {plain: value for plain, (_, value) in group.tensors.items()}
    if role == ONLY or pair.origin == 'mmdecouple':
        return Held(state, full.removeprefix(lead), full.removesuffix('.'), group.key, pair)
    name = f'{getattr(pair, role)}.'
    root = full[: full.index(name) + len(name)]
    inside = root.removeprefix(lead)
    return Held(
        {plain.removeprefix(inside): value for plain, value in state.items() if plain.startswith(inside)},
        full.removeprefix(root),
        root.removesuffix('.'),
        group.key,
        pair,
    )
