"""Which image files an unlabelled data set holds."""
import json
import os
import os.path as osp

from mmdecouple.utils.errors import MissingFile, UserError

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff', '.gif')


def list_images(data_root: str, ann_file: str | None, img_prefix: str) -> list[str]:
    """Paths of the images, in a fixed order.

    Args:
        data_root: Folder that the other two are relative to.
        ann_file: COCO annotation file (``*.json``; its order), list file (``*.txt``, one path a
            line) or None: every image below the folder, recursively, sorted.
        img_prefix: Folder of the images.

    Returns:
        At least one path.

    Raises:
        FileNotFoundError: If the annotation file or the folder does not exist.
        ValueError: If there is no image to be found.
    """
    folder = osp.join(data_root, img_prefix)
    if ann_file is None:
        return _walk(folder)
    path = osp.join(data_root, ann_file)
    if not osp.isfile(path):
        raise MissingFile(f'ImageDataset: there is no annotation file {path!r} '
                          '(config keys data_root and ann_file).')
    names = _names_of_coco(path) if path.endswith('.json') else _names_of_list(path)
    return [osp.join(folder, name) for name in names]


def find_missing(paths: list[str]) -> list[str]:
    """Those of the local paths that do not exist, found with one listing a folder."""
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        if '://' in path:
            continue
        folder, name = osp.split(path)
        if folder not in listed:
            listed[folder] = set(os.listdir(folder or '.')) if osp.isdir(folder or '.') else set()
        if name not in listed[folder]:
            missing.append(path)
    return missing


def _walk(folder: str) -> list[str]:
    if not osp.isdir(folder):
        raise MissingFile(f'ImageDataset: there is no folder {folder!r} '
                          '(config keys data_root and img_prefix).')
    paths = sorted(
        osp.join(parent, name) for parent, _, names in os.walk(folder, followlinks=True)
        for name in names if name.lower().endswith(EXTENSIONS))
    if not paths:
        raise UserError(f'ImageDataset: no image in {folder!r} (looked for '
                        f'{", ".join(EXTENSIONS)}); check the config keys data_root and '
                        'img_prefix.')
    return paths


def _names_of_coco(path: str) -> list[str]:
    try:
        with open(path) as file:
            names = [image['file_name'] for image in json.load(file)['images']]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f'ImageDataset: {path!r} is no COCO annotation file ({error!r}); it needs '
                        'an "images" list whose entries have a "file_name".') from error
    if not names:
        raise UserError(f'ImageDataset: the annotation file {path!r} lists no image.')
    return names


def _names_of_list(path: str) -> list[str]:
    with open(path) as file:
        names = [line.strip() for line in file if line.strip()]
    if not names:
        raise UserError(f'ImageDataset: the list file {path!r} is empty; write one image path a '
                        'line.')
    return names
