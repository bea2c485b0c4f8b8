"""Lists of the image files of a data set."""

import io
import os
import os.path as osp
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, overload

from mmengine.logging import print_log

from mmdecouple.datasets.annotation_refusals import check_utf8
from mmdecouple.datasets.annotations import ImageFile, decode_coco, is_json, read_text_file
from mmdecouple.datasets.name_cache import Reading, Show, open_names, state_of
from mmdecouple.datasets.names import NameFile
from mmdecouple.datasets.walking import FolderOfImages
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular

_BLOCK = 1 << 22  # bytes of a list file that are read at once
_MIB = 1 << 20
_BOM = b'\xef\xbb\xbf'
# Lists with more images are not looked up one by one at the start of a run, but at this many places.
_MOST_LOOKED_UP = 4096
_FEW = 100_000


class PathList(Sequence[str]):
    """Paths of images, which are made from names in a file when they are used; see `NameFile`.

    Args:
        folder: Folder, or URI with a prefix of mmengine's file backends, that the names are relative to.
        names: Names of the files, see `join_name`.
    """

    def __init__(self, folder: str, names: NameFile) -> None:
        self._folder, self._names = folder, names

    @property
    def digest(self) -> str:
        """Digest of the names relative to the folder, and of their order, in hex."""
        return self._names.digest

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Returns a path, or the list of paths of a slice."""
        found = self._names[index]
        return join_name(self._folder, found) if isinstance(found, str) else join_names(self._folder, found)

    def __iter__(self) -> Iterator[str]:
        return (join_name(self._folder, name) for name in self._names)


class ListFile:
    """Names in a list file or a COCO annotation file; a `Source` of `open_names`.

    Args:
        path: Local path, or URI with a prefix of mmengine's file backends, which is read at every start.
    """

    unit = 'MiB'

    def __init__(self, path: str) -> None:
        self._path, self._remote = path, '://' in path
        self.key: dict[str, Any] = dict(kind='file', path=path if self._remote else osp.realpath(path))
        self.title = osp.basename(path)

    def read(self, limit: int | None, show: Show) -> Reading:
        """See `Source.read`."""
        if self._remote:
            return Reading(self._names(io.BytesIO(read_text_file(self._path, 'annotation file')), show))
        check_regular(self._path, 'annotation file')
        state = state_of(self._path)
        try:
            file = open(self._path, 'rb')
        except OSError as error:
            raise MissingFile(
                f'annotation file {shown(self._path, 160)} cannot be read ({error.strerror}); check the path.'
            ) from error
        return Reading(self._names(file, show), {self.key['path']: state})

    def _names(self, file: BinaryIO, show: Show) -> Iterator[list[str]]:
        with file:
            total, _ = file.seek(0, os.SEEK_END), file.seek(0)
            block = file.read(_BLOCK).removeprefix(_BOM)
            if is_json(block):
                data = block + file.read()
                yield [image.file_name for image in decode_coco(data, self._path, ImageFile).images]
                return
            place, rest = 0, b''
            while block:
                block = rest + block
                end = max(block.rfind(b'\n'), block.rfind(b'\r')) + 1
                yield _lines(block[:end], self._path, place)
                place, rest = place + end, block[end:]
                show(file.tell() // _MIB, total // _MIB)
                block = file.read(_BLOCK)
            yield _lines(rest, self._path, place)


def _lines(data: bytes, path: str, place: int) -> list[str]:
    lines = check_utf8(data, path, place).replace('\r', '\n').split('\n')
    return [name for name in map(str.strip, lines) if name]


def list_images(data_root: str, ann_file: str | None, img_prefix: str) -> PathList:
    """Returns the paths of the images, in a fixed order.

    The names of more than 100,000 images are kept in the user's cache folder, see `open_names`.

    Args:
        data_root: Folder that the other two paths are relative to.
        ann_file: COCO annotation file (JSON), list file (one path per line), or None for all images below the folder
            (see `FolderOfImages`). The kind of file is determined by its content, not its name; both kinds are UTF-8,
            and their order is kept. An image that is listed twice is used twice.
        img_prefix: Folder of the images.

    Returns:
        At least one path.

    Raises:
        MissingFile: The annotation file or the folder does not exist.
        UserError: There is no image, or the file is invalid.
    """
    folder = osp.join(data_root, img_prefix)
    if ann_file is None:
        names, remark = open_names(FolderOfImages(folder))
        print_log(remark, 'current')
        return PathList(folder, names)
    path = osp.join(data_root, ann_file)
    if '://' not in path and not osp.exists(path):
        raise MissingFile(
            f'ImageDataset: the annotation file {shown(path, 160)} does not exist (config keys data_root and ann_file).'
        )
    names, _ = open_names(ListFile(path))
    if not names:
        raise UserError(
            f'ImageDataset: {shown(path, 160)} is empty or lists no image; write one image path per line, or give a '
            'COCO annotation file.'
        )
    return PathList(folder, names)


def join_name(folder: str, name: str) -> str:
    r"""Returns the path of a file below a folder.

    A name written on Windows (`sub\1.jpg`) refers to the file in the subfolder, unless a file has exactly this name.
    An absolute name is kept, and `..` is followed.

    Args:
        folder: Folder, or URI with a prefix of mmengine's file backends.
        name: Name of the file relative to the folder.
    """
    if '\\' in name and '://' not in folder and not osp.lexists(osp.join(folder, name)):
        name = name.replace('\\', '/')
    return osp.join(folder, name)


def join_names(folder: str, names: Sequence[str]) -> list[str]:
    """Returns the paths of files below a folder; see `join_name`."""
    return [join_name(folder, name) for name in names]


def count_missing(paths: Sequence[str], accepted: float) -> tuple[int, str]:
    """Counts the local paths that do not exist, if they may be too many.

    Of more than 100,000 paths, 4096 at equal distances are looked up first. All are looked up if the share of those
    that are missing exceeds `accepted`.

    Args:
        paths: Paths, of which URIs are taken to exist.
        accepted: Accepted share of missing paths, in [0, 1].

    Returns:
        The number of missing paths and the first one; 0 and '' if the places looked up do not exceed the share.
    """
    if len(paths) <= _FEW:
        missing = find_missing(list(paths))
    else:
        probes = paths[:: -(-len(paths) // _MOST_LOOKED_UP)]
        if sum(map(_is_missing, probes)) <= accepted * len(probes):
            return 0, ''
        missing = [path for path in paths if _is_missing(path)]
    return len(missing), missing[0] if missing else ''


def _is_missing(path: str) -> bool:
    return '://' not in path and not osp.lexists(path)


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
