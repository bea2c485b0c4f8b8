"""Conversion of a checkpoint with a ViT or a ResNet to the tensor names of another project."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmdecouple.utils.errors import UserError

from .formats import resnet, vit, vit_facts
from .formats.resnet_names import FORMATS as RESNET_FORMATS
from .formats.resnet_names import find_networks, nothing_found, tensors_by_name
from .formats.vit_reading import networks_of
from .pretrained import architecture, transferred_vit

VIT, RESNET = 'ViT', 'ResNet'
# Format -> architectures that it can hold.
FORMATS = {
    name: tuple(kind for kind, formats in ((VIT, vit.WRITABLE), (RESNET, resnet.WRITABLE)) if name in formats)
    for name in dict.fromkeys((*vit.WRITABLE, *resnet.WRITABLE))
}
READABLE = tuple(dict.fromkeys((*vit.FORMATS, *RESNET_FORMATS)))
_DETECTRON2 = (
    'The file does not say where the blocks have their stride. Here it is the 3 x 3 convolution, as in networks of '
    "MoCo's and torchvision's (STRIDE_IN_1X1 False)."
)


@dataclass(frozen=True)
class Conversion:
    """Converted checkpoint.

    Attributes:
        content: Content of the file to write.
        source_format: Format of the checkpoint, one of `READABLE`.
        architecture: Description such as `ResNet-50`.
        roles: Roles of the networks in `content`; empty for one network without a role.
        tensors: Rows of name in the checkpoint (`-` for a tensor that it lacks), name in the new format, and value.
        left_out: Names in the checkpoint that the new format does not hold.
        remark: Assumption that the conversion makes; empty for none.
    """

    content: dict[str, Any]
    source_format: str
    architecture: str
    roles: tuple[str, ...]
    tensors: list[tuple[str, str, Tensor]]
    left_out: list[str]
    remark: str = ''


def architecture_of(content: dict[str, Any], where: str) -> str:
    """Returns whether a checkpoint holds a `ViT` or a `ResNet`.

    Raises:
        UserError: It holds neither, or several networks whose names do not identify their roles.
    """
    tensors = tensors_by_name(content, where)
    if find_networks(tensors, where) is not None:
        return RESNET
    if networks_of(content, where):
        return VIT
    raise UserError(f'{where} holds neither a ViT nor a ResNet in a supported format; {nothing_found(tensors)}.')


def transferred(content: dict[str, Any], where: str) -> str | None:
    """Returns the role of the network that the authors of the method transfer, if a checkpoint holds both networks.

    Returns:
        `teacher`, as for iBOT and DINO, or `student`; None for a single network.

    Raises:
        UserError: See `architecture_of`.
    """
    if architecture_of(content, where) == VIT:
        found = networks_of(content, where)
        return transferred_vit(content, found) if len(found) > 1 else None
    networks = find_networks(tensors_by_name(content, where), where)
    return networks.transferred if networks.student and networks.teacher else None


def convert(
    content: dict[str, Any], to: str, role: str | None = None, source_format: str = 'auto', where: str = 'checkpoint'
) -> Conversion:
    """Converts a checkpoint to another format.

    The formats of whole methods (mmdecouple, ibot, leopart, soco, pixpro) hold student, teacher and heads, if the
    checkpoint does; the others hold one backbone.

    Args:
        content: Content of a checkpoint.
        to: One of `FORMATS`.
        role: `teacher` or `student` to take that network; None for both, or for the one that the authors of the method
            transfer if the format holds one.
        source_format: Format of the checkpoint, one of `READABLE`, or `auto` to detect it.
        where: Name of the checkpoint in messages.

    Raises:
        UserError: The checkpoint holds no supported network or lacks a tensor, its format is not the expected one, or
            the format cannot hold the network.
    """
    kind = architecture_of(content, where)
    if kind not in FORMATS[to]:
        others = ', '.join(name for name, kinds in FORMATS.items() if kind in kinds)
        raise UserError(
            f'{where} holds a {kind}, which format {to} does not hold; choose one of {others}, onnx (--to).'
        )
    return (_vit if kind == VIT else _resnet)(content, to, role, source_format, where)


def _vit(content: dict[str, Any], to: str, role: str | None, source_format: str, where: str) -> Conversion:
    held = vit.roles_of(content, where)
    both = role is None and held == vit.ROLES and to in vit.WHOLE
    role = role or transferred_vit(content, networks_of(content, where))
    roles = vit.ROLES if both else (role,)
    sources = [vit.to_ours(content, name, source_format, where) for name in roles]
    state = vit.vit_checkpoint(sources, to)
    meta = {vit_facts.KEY: sources[0].facts.to_meta()}
    written = dict(state_dict=state, meta=meta) if to == 'mmdecouple' else state
    targets = [vit.to_ours(written, name, to, f'format {to}') for name in roles]
    left_out = set.intersection(*(set(source.ignored) for source in sources)) - set(roles if both else ())
    tensors = []
    for source, target in zip(sources, targets):
        values = {**{f'backbone.{key}': value for key, value in source.backbone.items()}, **source.rest}
        tensors += _rows(source.names, target.names, values)
        left_out |= {theirs for ours, theirs in source.names.items() if ours not in target.names}
    described = architecture(sources[0].backbone)
    return Conversion(written, sources[0].format, described, roles if held else (), tensors, sorted(left_out))


def _resnet(content: dict[str, Any], to: str, role: str | None, source_format: str, where: str) -> Conversion:
    source = resnet.to_ours(content, source_format, where)
    lone = to in resnet.LONE
    if role is not None and not lone:
        raise UserError(f'Format {to} holds both networks of a ResNet; remove --role, or choose another format (--to).')
    role = role or source.transferred
    written = resnet.from_ours(source, to, role)
    if lone:
        names = {ours: resnet.LONE[to](plain) for plain, ours in resnet.backbone_names(source, role).items()}
    else:
        names = resnet.to_ours(written, to, f'format {to}').names
    tensors = _rows(source.names, names, source.state)
    left_out = source.ignored + [name for ours, name in source.names.items() if ours not in names]
    held = tuple(name for name in vit.ROLES if any(key.startswith(_prefix(name)) for key in source.state))
    roles = () if len(held) < 2 else (role,) if lone else held
    remark = _DETECTRON2 if source.format == 'detectron2' else ''
    return Conversion(written, source.format, f'ResNet-{source.depth}', roles, tensors, left_out, remark)


def _rows(theirs: dict[str, str], names: dict[str, str], values: dict[str, Tensor]) -> list[tuple[str, str, Tensor]]:
    return [(theirs.get(ours, '-'), names[ours], value) for ours, value in values.items() if ours in names]


def _prefix(role: str) -> str:
    return 'backbone.' if role == 'student' else 'teacher.backbone.'
