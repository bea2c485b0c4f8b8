"""Every image below a folder, each real folder once."""

import heapq
import os
import os.path as osp
from collections import Counter
from collections.abc import Iterator

from mmengine.logging import print_log

from mmdecouple.datasets.reading import readable_endings
from mmdecouple.utils.errors import MissingFile, UserError, shown

_MOST_NAMED = 8


def walk_images(folder: str) -> list[str]:
    """Paths of all image files below a folder, sorted; one log line says what was found and what was passed over.

    Files count by their ending, one of ``readable_endings``; upper case is the same. Folders are entered once each,
    links to folders last and only where they lead to one that was not entered and that does not hold ``folder`` itself.
    A link to a file is an image of its own, as a second copy or a hard link is. Names that begin with a dot (macOS
    leaves ``._1.jpg`` beside ``1.jpg``), links that lead nowhere, and what is no ordinary file are passed over, folders
    that cannot be read too.

    Raises:
        MissingFile: There is no such folder.
        UserError: It cannot be read or holds no image.
    """
    if not osp.isdir(folder):
        raise MissingFile(
            f'ImageDataset: there is no folder {shown(folder, 160)} (config keys data_root and img_prefix).'
        )
    found, passed = Counter(), Counter()
    paths = sorted(_images_below(folder, found, passed))
    over = f'; passed over: {_counts(passed)}' if passed else ''
    if not paths:
        raise UserError(
            f'ImageDataset: no image in {shown(folder, 120)}{over} (config keys data_root and img_prefix); '
            'known endings: .jpg, .png, .webp, .tif and what else Pillow reads.'
        )
    print_log(f'{len(paths)} images below {folder} ({_counts(found)}){over}.', 'current')
    return paths


def _images_below(root: str, found: Counter[str], passed: Counter[str]) -> Iterator[str]:
    endings = readable_endings()
    entered = set(map(_identity, _parents(root)))
    folders, links = [root], []
    while folders or links:
        folder = folders.pop() if folders else heapq.heappop(links)
        try:
            if _identity(folder) in entered:
                passed['link to a folder listed already or above'] += 1
                continue
            entered.add(_identity(folder))
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as error:
            if folder == root:
                raise UserError(
                    f'ImageDataset: the folder {shown(root, 160)} cannot be read ({error.strerror}).'
                ) from error
            passed['folder that cannot be read'] += 1
            continue
        for entry in inside:
            name, dot = entry.name, entry.name.rfind('.')
            ending = name[dot:].lower() if dot > 0 else ''
            plain = entry.is_file(follow_symlinks=False)
            if name[0] == '.':
                passed['name with a leading dot'] += 1
            elif plain and ending in endings:
                found[ending] += 1
                yield entry.path
            elif plain:
                passed[ending or 'name without ending'] += 1
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif osp.isdir(entry.path):
                heapq.heappush(links, entry.path)
            elif ending in endings and osp.isfile(entry.path):
                found[ending] += 1
                yield entry.path
            else:
                passed['broken link or no ordinary file'] += 1


def _parents(folder: str) -> Iterator[str]:
    path = osp.realpath(folder)
    while path != osp.dirname(path):
        path = osp.dirname(path)
        yield path


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _counts(counter: Counter[str]) -> str:
    named = [f'{shown(what, 60)[1:-1]} {count}' for what, count in counter.most_common(_MOST_NAMED)]
    rest = len(counter) - len(named)
    return ', '.join(named) + (f', {rest} more kinds' if rest else '')
