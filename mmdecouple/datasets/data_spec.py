"""Data named by one word on the command line, the same for all commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdecouple.utils.errors import UserError

# Kind -> form, in which capitals stand for values.
SPECS = {
    'scenes': 'scenes[:CONFIG]',
    'coco': 'coco:ROOT[:TRAIN:VAL]',
    'coco128': 'coco128:ROOT',
    'voc': 'voc:ROOT',
    'ade': 'ade:ROOT',
    'cityscapes': 'cityscapes:ROOT',
    'folder': 'folder:PATH',
    'list': 'list:FILE',
    'pack': 'pack:DIR',
}
# Standard places, relative to the working directory, which mmdet and mmseg use too.
_DEFAULT_ROOTS = {'coco': 'data/coco', 'voc': 'data/VOCdevkit', 'ade': 'data/ade', 'cityscapes': 'data/cityscapes'}


@dataclass(frozen=True)
class DataSpec:
    """Data that a user names.

    Attributes:
        kind: Kind of the data, a key of `SPECS`.
        path: Root, folder or file; for `scenes` a config or an empty string.
        splits: Names of the training and the validation split; empty for those of the kind.
    """

    kind: str
    path: str
    splits: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ':'.join(part for part in (self.kind, self.path, *self.splits) if part)


def unlabelled(spec: DataSpec) -> dict[str, Any]:
    """Returns the config of the data set of images, without pipeline, of a `folder`, `list` or `pack`.

    Names in a list are relative to the folder of the list.
    """
    if spec.kind == 'pack':
        return dict(type='ShardedImages', root=spec.path)
    if spec.kind == 'list':
        path = Path(spec.path)
        return dict(type='ImageDataset', data_root=str(path.parent), ann_file=path.name)
    return dict(type='ImageDataset', data_root=spec.path)


def read_spec(text: str, kinds: Sequence[str] = tuple(SPECS)) -> DataSpec:
    """Reads a specification such as `coco:data/coco`; an existing file or folder stands for `folder:PATH`.

    Args:
        text: The specification.
        kinds: Kinds that the caller can use, of `SPECS`.

    Raises:
        UserError: The kind is unknown or not one of `kinds`, or the specification has too few or too many parts.
    """
    forms = ', '.join(SPECS[kind] for kind in kinds)
    kind, colon, rest = text.partition(':')
    if kind not in SPECS:
        if not Path(text).exists():
            raise UserError(f'data {text!r} is neither a file or folder nor one of {forms} (--data).')
        kind, rest = 'folder', text
    if kind not in kinds:
        raise UserError(f'data {text!r}: {kind} cannot be used here; name one of {forms} (--data).')
    if kind == 'coco':
        parts = rest.split(':') if rest else []
        if len(parts) not in (0, 1, 3) or not all(parts) or (colon and not parts):
            raise UserError(f'data {text!r} does not have the form {SPECS[kind]} (--data).')
        return DataSpec(kind, parts[0] if parts else _DEFAULT_ROOTS[kind], tuple(parts[1:]))
    if not rest and kind != 'scenes':
        rest = '' if colon else _DEFAULT_ROOTS.get(kind, '')
        if not rest:
            raise UserError(f'data {text!r} does not have the form {SPECS[kind]} (--data).')
    return DataSpec(kind, rest)
