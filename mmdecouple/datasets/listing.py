"""Which image files an unlabelled data set holds."""

import os
import os.path as osp

from mmdecouple.datasets.annotation_refusals import check_utf8
from mmdecouple.datasets.annotations import ImageFile, decode_coco, is_json, read_text_file
from mmdecouple.datasets.walking import walk_images
from mmdecouple.utils.errors import MissingFile, UserError, shown


def list_images(data_root: str, ann_file: str | None, img_prefix: str) -> list[str]:
    """Paths of the images, in a fixed order.

    Args:
        data_root: Folder that the other two are relative to.
        ann_file: COCO annotation file (JSON; its order), list file (one path a line) or None: every image below the
            folder, see ``walk_images``. What a file is, its content says, not its name; both are UTF-8. A name that is
            listed twice is trained on twice.
        img_prefix: Folder of the images.

    Returns:
        At least one path.

    Raises:
        FileNotFoundError: If the annotation file or the folder does not exist.
        ValueError: If there is no image to be found, or the file cannot be used.
    """
    folder = osp.join(data_root, img_prefix)
    if ann_file is None:
        return walk_images(folder)
    path = osp.join(data_root, ann_file)
    if '://' not in path and not osp.exists(path):
        raise MissingFile(
            f'ImageDataset: there is no annotation file {shown(path, 160)} (config keys data_root and ann_file).'
        )
    data = read_text_file(path, 'annotation file')
    if is_json(data):
        names = [image.file_name for image in decode_coco(data, path, ImageFile).images]
    else:
        lines = check_utf8(data, path).replace('\r', '\n').split('\n')
        names = [name for name in map(str.strip, lines) if name]
    if not names:
        raise UserError(
            f'ImageDataset: {shown(path, 160)} is empty or lists no image; write one image path a line, or '
            'name a COCO annotation file.'
        )
    return join_names(folder, names)


def join_names(folder: str, names: list[str]) -> list[str]:
    r"""Paths of named files below a folder.

    A name written on Windows (``sub\1.jpg``) means the file in the subfolder, unless a file has this very name.
    Absolute names stay what they are, and ``..`` is followed.
    """

    def portable(name: str) -> str:
        return name if '://' in folder or osp.lexists(osp.join(folder, name)) else name.replace('\\', '/')

    return [osp.join(folder, portable(name) if '\\' in name else name) for name in names]


def find_missing(paths: list[str]) -> list[str]:
    """Those of the local paths that do not exist, found with one listing a folder."""
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        if '://' in path:
            continue
        folder, name = osp.split(path)
        if folder not in listed:
            listed[folder] = _names_in(folder or '.')
        if name not in listed[folder]:
            missing.append(path)
    return missing


def _names_in(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):  # no folder, not to be read, or no possible name
        return set()
