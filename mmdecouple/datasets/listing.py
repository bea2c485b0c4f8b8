"""Lists of the image files of a data set."""

import os
import os.path as osp

from mmdecouple.datasets.annotation_refusals import check_utf8
from mmdecouple.datasets.annotations import ImageFile, decode_coco, is_json, read_text_file
from mmdecouple.datasets.walking import walk_images
from mmdecouple.utils.errors import MissingFile, UserError, shown


def list_images(data_root: str, ann_file: str | None, img_prefix: str) -> list[str]:
    """Returns the paths of the images, in a fixed order.

    Args:
        data_root: Folder that the other two paths are relative to.
        ann_file: COCO annotation file (JSON), list file (one path per line), or None for all images below the folder
            (see `walk_images`). The kind of file is determined by its content, not its name; both kinds are UTF-8, and
            their order is kept. An image that is listed twice is used twice.
        img_prefix: Folder of the images.

    Returns:
        At least one path.

    Raises:
        MissingFile: The annotation file or the folder does not exist.
        UserError: There is no image, or the file is invalid.
    """
    folder = osp.join(data_root, img_prefix)
    if ann_file is None:
        return walk_images(folder)
    path = osp.join(data_root, ann_file)
    if '://' not in path and not osp.exists(path):
        raise MissingFile(
            f'ImageDataset: the annotation file {shown(path, 160)} does not exist (config keys data_root and ann_file).'
        )
    data = read_text_file(path, 'annotation file')
    if is_json(data):
        names = [image.file_name for image in decode_coco(data, path, ImageFile).images]
    else:
        lines = check_utf8(data, path).replace('\r', '\n').split('\n')
        names = [name for name in map(str.strip, lines) if name]
    if not names:
        raise UserError(
            f'ImageDataset: {shown(path, 160)} is empty or lists no image; write one image path per line, or give a '
            'COCO annotation file.'
        )
    return join_names(folder, names)


def join_names(folder: str, names: list[str]) -> list[str]:
    r"""Returns the paths of files below a folder.

    A name written on Windows (`sub\1.jpg`) refers to the file in the subfolder, unless a file has exactly this name.
    Absolute names are kept, and `..` is followed.

    Args:
        folder: Folder, or URI with a prefix of mmengine's file backends.
        names: Names of the files relative to the folder.
    """

    def portable(name: str) -> str:
        return name if '://' in folder or osp.lexists(osp.join(folder, name)) else name.replace('\\', '/')

    return [osp.join(folder, portable(name) if '\\' in name else name) for name in names]


def find_missing(paths: list[str]) -> list[str]:
    """Returns the local paths that do not exist, with one directory listing per folder."""
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
