"""Data named by one word on the command line, the same for all commands."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmdecouple.utils.errors import UserError

# Kind -> form, in which capitals stand for values.
SPECS = {
    'scenes': 'scenes[:CONFIG|:EXPORT]',
    'coco': 'coco:ROOT[:TRAIN:VAL]',
    'coco128': 'coco128:ROOT',
    'coco-stuff': 'coco-stuff:ROOT',
    'voc': 'voc:ROOT',
    'ade': 'ade:ROOT',
    'cityscapes': 'cityscapes:ROOT',
    'camvid': 'camvid:ROOT',
    'folder': 'folder:PATH',
    'list': 'list:FILE[:FOLDER]',
    'pack': 'pack:DIR',
}
# Kinds for each purpose: annotated objects, objects cut out of label maps, data to measure, label maps, pictures to
# look at and to train on, image files.
OBJECTS = ('scenes', 'coco', 'coco128')
COMPONENTS = ('voc', 'cityscapes', 'camvid')
MEASURED = (*OBJECTS, *COMPONENTS, 'folder', 'list', 'pack')
LABELS = ('scenes', 'coco128', 'coco-stuff', 'voc', 'ade', 'cityscapes', 'camvid')
PICTURES = ('scenes', 'coco', 'coco128', 'folder', 'list', 'pack')
FILES = ('folder', 'list', 'coco', 'coco128')
# Standard places, relative to the working directory, which mmdet and mmseg use too.
_DEFAULT_ROOTS = {
    'coco': 'data/coco',
    'coco128': 'data/coco128',
    'coco-stuff': 'data/coco',
    'voc': 'data/VOCdevkit',
    'ade': 'data/ade',
    'cityscapes': 'data/cityscapes',
    'camvid': 'data/camvid',
}
# Numbers of parts after the path.
_FURTHER = {'coco': (0, 2), 'list': (0, 1)}
_COCO_SPLITS = ('train2017', 'val2017')


@dataclass(frozen=True)
class DataSpec:
    """Data that a user names.

    Attributes:
        kind: Kind of the data, a key of `SPECS`.
        path: Root, folder or file; for `scenes` a config, the folder of an export or an empty string.
        splits: Names of the training and the validation split of `coco`; empty for those of COCO 2017.
        folder: Folder of the images of a `list`; empty for that of the list file.
    """

    kind: str
    path: str
    splits: tuple[str, ...] = ()
    folder: str = ''

    def __str__(self) -> str:
        return ':'.join(part for part in (self.kind, self.path, *self.splits, self.folder) if part)

    @property
    def is_export(self) -> bool:
        """Whether this names the folder of exported scenes."""
        return self.kind == 'scenes' and os.path.isdir(self.path)


class ImageFiles(NamedTuple):
    """Image files of one split.

    Attributes:
        folder: Folder of the images.
        listing: COCO annotation file or list file; None for all images below the folder.
        name: Name of the data in file names and messages.
    """

    folder: str
    listing: str | None
    name: str


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
        if not os.path.exists(text):
            raise UserError(f'data {text!r} is neither a file or folder nor one of {forms} (--data).')
        kind, rest = 'folder', text
    if kind not in kinds:
        raise UserError(f'data {text!r}: {kind} cannot be used here; name one of {forms} (--data).')
    # Any other path may contain colons, and so may that of a list.
    divided = kind == 'coco' or (kind == 'list' and not os.path.exists(rest))
    path, *more = rest.split(':') if divided else [rest]
    if not colon and not path:
        path = _DEFAULT_ROOTS.get(kind, '')
    if not (path or (kind == 'scenes' and not colon)) or not all(more) or len(more) not in _FURTHER.get(kind, (0,)):
        raise UserError(f'data {text!r} does not have the form {SPECS[kind]} (--data).')
    return DataSpec(kind, path, folder=more[0]) if kind == 'list' and more else DataSpec(kind, path, tuple(more))


def image_files(data: DataSpec, split: str = 'train') -> ImageFiles:
    """Returns where the image files of data are.

    Args:
        data: Data of one of the kinds `FILES`.
        split: `train` or `val`; not used for `folder` and `list`.
    """
    if data.kind == 'folder':
        return ImageFiles(data.path, None, Path(data.path).resolve().name)
    if data.kind == 'list':
        return ImageFiles(data.folder or str(Path(data.path).parent), data.path, Path(data.path).stem)
    name = (data.splits or _COCO_SPLITS)[split == 'val']
    return ImageFiles(str(Path(data.path, name)), str(Path(data.path, 'annotations', f'instances_{name}.json')), name)
