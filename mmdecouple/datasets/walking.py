"""Recursive search for images in a folder."""

import heapq
import os
import os.path as osp
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmdecouple.datasets.name_cache import Reading, Show, State, TooMany, state_of
from mmdecouple.datasets.reading import readable_endings
from mmdecouple.utils.errors import MissingFile, UserError, shown

_MAX_NAMED = 8
_BATCH = 10_000


class FolderOfImages:
    """All image files below a folder, sorted by path; a `Source` of `open_names`.

    Files are recognized by their extension, one of `readable_endings`, in lower or upper case. Each folder is entered
    once. Links to folders are followed last, and only to folders that were not entered and do not contain `folder`
    itself. A link to a file is a separate image, like a copy or a hard link. Names with a leading dot (macOS creates
    `._1.jpg` for `1.jpg`), broken links, files that are not ordinary files, and unreadable folders are skipped.

    The folder is taken to be unchanged while every folder below it, and every broken link, has the same state. Whether
    the target of a link to a file still exists is not part of it.

    Args:
        folder: Folder to search.

    Raises:
        MissingFile: The folder does not exist.
    """

    unit = 'folders'

    def __init__(self, folder: str) -> None:
        if not osp.isdir(folder):
            raise MissingFile(
                f'ImageDataset: the folder {shown(folder, 160)} does not exist (config keys data_root and img_prefix).'
            )
        self._folder = folder
        self.key: dict[str, Any] = dict(kind='folder', path=osp.realpath(folder), endings=sorted(readable_endings()))
        self.title = folder

    def read(self, limit: int | None, show: Show) -> Reading:
        """See `Source.read`; the remark is one line with the counts.

        Raises:
            UserError: The folder cannot be read or contains no image.
        """
        search = _Search(self._folder)
        search.run(limit, show)
        rest = f'; skipped: {_counts(search.skipped)}' if search.skipped else ''
        count = sum(search.found.values())
        if not count:
            raise UserError(
                f'ImageDataset: no image in {shown(self._folder, 120)}{rest} (config keys data_root and img_prefix); '
                'supported extensions are .jpg, .png, .webp, .tif and others that Pillow reads.'
            )
        remark = f'{count} images below {self._folder} ({_counts(search.found)}){rest}.'
        return Reading(search.names(), search.states, remark)


class _Search:
    """A search for images, and what it has found. Folders are named relative to the root, with a slash at the end."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._endings = readable_endings()
        self._entered = set(map(_identity, _parents(root)))
        self._folders, self._links = [''], list[str]()
        # Names of the images in a folder, joined by NUL: one object for a folder, not for an image.
        self._images: dict[str, str] = {}
        self._inside: dict[str, list[str]] = {}
        self.found, self.skipped = Counter[str](), Counter[str]()
        self.states: dict[str, State | None] = {}

    def run(self, limit: int | None, show: Show) -> None:
        """Enters all folders."""
        while self._folders or self._links:
            self._enter(self._folders.pop() if self._folders else heapq.heappop(self._links))
            waiting = len(self._folders) + len(self._links)
            show(len(self._images), len(self._images) + waiting)
            if limit is not None and self.found.total() > limit:
                raise TooMany

    def names(self) -> Iterator[list[str]]:
        """Yields batches of the names of all images, sorted.

        A folder is sorted among files by its name with a slash, as it is in the paths of its files.
        """
        batch: list[str] = []
        stack = [('', iter(self._sorted('')))]
        while stack:
            prefix, items = stack[-1]
            for item in items:
                if item[-1] == '/':
                    stack.append((prefix + item, iter(self._sorted(prefix + item))))
                    break
                batch.append(prefix + item)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
            else:
                stack.pop()
        yield batch

    def _sorted(self, folder: str) -> list[str]:
        images = self._images[folder].split('\0') if self._images[folder] else []
        return sorted(images + self._inside.get(folder, []))

    def _enter(self, folder: str) -> None:
        path = osp.join(self._root, folder[:-1]) if folder else self._root
        try:
            identity = _identity(path)
            if identity in self._entered:
                self.skipped['link to a folder that was entered or contains it'] += 1
                return
            self._entered.add(identity)
            self.states[path] = state_of(path)
            with os.scandir(path) as entries:
                inside = list(entries)
        except OSError as error:
            if not folder:
                raise UserError(
                    f'ImageDataset: the folder {shown(self._root, 160)} cannot be read ({error.strerror}).'
                ) from error
            self.states.setdefault(path, state_of(path))
            self.skipped['unreadable folder'] += 1
            return
        self._images[folder] = '\0'.join(self._take(folder, inside))
        if folder:
            parent, name = osp.split(folder[:-1])
            self._inside.setdefault(f'{parent}/' if parent else '', []).append(f'{name}/')

    def _take(self, folder: str, inside: list[os.DirEntry]) -> Iterator[str]:
        """Yields the names of the images among the entries of a folder, and notes its folders."""
        for entry in inside:
            name, dot = entry.name, entry.name.rfind('.')
            ending = name[dot:].lower() if dot > 0 else ''
            plain = entry.is_file(follow_symlinks=False)
            if name[0] == '.':
                self.skipped['name with a leading dot'] += 1
            elif plain and ending in self._endings:
                self.found[ending] += 1
                yield name
            elif plain:
                self.skipped[ending or 'name without extension'] += 1
            elif entry.is_dir(follow_symlinks=False):
                self._folders.append(f'{folder}{name}/')
            elif osp.isdir(entry.path):
                heapq.heappush(self._links, f'{folder}{name}/')
            elif ending in self._endings and osp.isfile(entry.path):
                self.found[ending] += 1
                yield name
            else:
                self.skipped['broken link or special file'] += 1
                if not osp.exists(entry.path):
                    self.states[entry.path] = state_of(entry.path)


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
