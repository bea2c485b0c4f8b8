"""Recursive search for images in a folder."""

import heapq
import os
import os.path as osp
from collections import Counter
from collections.abc import Iterator

from mmengine.logging import print_log

from mmdecouple.datasets.reading import readable_endings
from mmdecouple.utils.errors import MissingFile, UserError, shown

_MAX_NAMED = 8


def walk_images(folder: str) -> list[str]:
    """Returns the sorted paths of all image files below a folder, and logs one line with the counts.

    Files are recognized by their extension, one of `readable_endings`, in lower or upper case. Each folder is entered
    once. Links to folders are followed last, and only to folders that were not entered and do not contain `folder`
    itself. A link to a file is a separate image, like a copy or a hard link. Names with a leading dot (macOS creates
    `._1.jpg` for `1.jpg`), broken links, files that are not ordinary files, and unreadable folders are skipped.

    Args:
        folder: Folder to search.

    Raises:
        MissingFile: The folder does not exist.
        UserError: The folder cannot be read or contains no image.
    """
    if not osp.isdir(folder):
        raise MissingFile(
            f'ImageDataset: the folder {shown(folder, 160)} does not exist (config keys data_root and img_prefix).'
        )
    found, skipped = Counter(), Counter()
    paths = sorted(_images_below(folder, found, skipped))
    rest = f'; skipped: {_counts(skipped)}' if skipped else ''
    if not paths:
        raise UserError(
            f'ImageDataset: no image in {shown(folder, 120)}{rest} (config keys data_root and img_prefix); supported '
            'extensions are .jpg, .png, .webp, .tif and others that Pillow reads.'
        )
    print_log(f'{len(paths)} images below {folder} ({_counts(found)}){rest}.', 'current')
    return paths


def _images_below(root: str, found: Counter[str], skipped: Counter[str]) -> Iterator[str]:
    endings = readable_endings()
    entered = set(map(_identity, _parents(root)))
    folders, links = [root], []
    while folders or links:
        folder = folders.pop() if folders else heapq.heappop(links)
        try:
            if _identity(folder) in entered:
                skipped['link to a folder that was entered or contains it'] += 1
                continue
            entered.add(_identity(folder))
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as error:
            if folder == root:
                raise UserError(
                    f'ImageDataset: the folder {shown(root, 160)} cannot be read ({error.strerror}).'
                ) from error
            skipped['unreadable folder'] += 1
            continue
        for entry in inside:
            name, dot = entry.name, entry.name.rfind('.')
            ending = name[dot:].lower() if dot > 0 else ''
            plain = entry.is_file(follow_symlinks=False)
            if name[0] == '.':
                skipped['name with a leading dot'] += 1
            elif plain and ending in endings:
                found[ending] += 1
                yield entry.path
            elif plain:
                skipped[ending or 'name without extension'] += 1
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif osp.isdir(entry.path):
                heapq.heappush(links, entry.path)
            elif ending in endings and osp.isfile(entry.path):
                found[ending] += 1
                yield entry.path
            else:
                skipped['broken link or special file'] += 1


def _parents(folder: str) -> Iterator[str]:
    path = osp.realpath(folder)
    while path != osp.dirname(path):
        path = osp.dirname(path)
        yield path


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _counts(counter: Counter[str]) -> str:
    named = [f'{shown(what, 60)[1:-1]} {count}' for what, count in counter.most_common(_MAX_NAMED)]
    rest = len(counter) - len(named)
    return ', '.join(named) + (f', {rest} more kinds' if rest else '')
