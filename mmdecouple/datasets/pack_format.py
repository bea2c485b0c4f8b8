"""Packs: the images of a data set in a few large tar files, with an index for random access.

A pack of n images is a folder with these files:

    shard-000000.tar ...    the images, uncompressed; their names in the archive are their numbers (000000000.jpg, ...)
    records.bin             (n,) `RECORD`: place, checksum and size of each image, in the order of the source
    names.bin               UTF-8 names of the images relative to the source folder, one after the other
    pack.json               format, version, how the images are stored, sizes of the shards, and digests of the names
                            and of the whole index; it is written last
    unreadable_images.txt   name and reason of each image that could not be decoded, separated by a tab

Bytes do not depend on the time, the user, the machine's files or the number of processes, so that equal images give
equal packs. `tar` and `webdataset` read the shards; the names of the images are data and never name a file on disk.

Libraries for such files, compared in their versions of 2026:

- webdataset 1.0 reads shards as streams: an image cannot be read by its index, and a stream cannot be resumed at an
  image. Its module with random access, `wids`, is no longer part of it.
- litdata 0.2 and mosaicml-streaming 0.13 have random access, but draw the order of an epoch themselves, resume through
  their own loaders, and require SDKs of cloud storages. The latter requires numpy < 2.2.
- array_record 0.8 returns records by index, so that order, resume and draws stay with the sampler. Its files hold bytes
  only, without names, sizes and checksums, and no other tool reads them; its Python module is marked as experimental.

Python's `tarfile` writes the shards, and reading an image is one `pread`, which keeps all three properties.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular

FORMAT, VERSION = 'mmdecouple-pack', 1
HEAD, RECORDS, NAMES, UNREADABLE = 'pack.json', 'records.bin', 'names.bin', 'unreadable_images.txt'
# Height and width are those of the upright source in pixels, 0, 0 if it cannot be decoded; `name_end` is the end of the
# name in `names.bin`.
RECORD = np.dtype(
    [
        ('offset', '<u8'),
        ('name_end', '<u8'),
        ('shard', '<u4'),
        ('size', '<u4'),
        ('crc32', '<u4'),
        ('height', '<u4'),
        ('width', '<u4'),
    ]
)
REMEDY = 'copy the pack again, or pack the images again with `mmdecouple pack`'
_BLOCK = 1 << 20


def shard_name(number: int) -> str:
    """Returns the file name of a shard."""
    return f'shard-{number:06d}.tar'


def names_digest(folder: Path, ends: np.ndarray) -> str:
    """Returns the first 16 hex digits of a SHA-256 of the names of a pack and of their ends, uint64 `(n,)`."""
    found = hashlib.sha256()
    _add_file(found, folder / NAMES)
    found.update(hashlib.sha256(ends.astype('<u8').tobytes()).digest())
    return found.hexdigest()[:16]


def index_digest(folder: Path, names: str, settings: dict[str, Any]) -> str:
    """Returns the SHA-256 of the index of a pack, in hex.

    Args:
        folder: Folder of the pack.
        names: Digest of the names.
        settings: How the images are stored.
    """
    found = hashlib.sha256(json.dumps([names, settings], sort_keys=True).encode())
    for name in (RECORDS, NAMES):
        _add_file(found, folder / name)
    return found.hexdigest()


def _add_file(digest: Any, path: Path) -> None:
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            digest.update(block)


def read_head(root: Path) -> dict[str, Any]:
    """Returns the checked content of the head of a pack.

    Raises:
        MissingFile: The folder is not a finished pack.
        UserError: The head is damaged or has another version.
    """
    path = root / HEAD
    if not path.exists():
        raise MissingFile(
            f'{shown(str(root), 120)} is not a finished pack: it has no {HEAD}; make one, or complete it, with '
            '`mmdecouple pack`.'
        )
    check_regular(path, 'head of a pack')
    try:
        head = json.loads(path.read_bytes())
        kind, version = head['format'], head['version']
        if (kind, version) == (FORMAT, VERSION):
            head['settings'] = dict(head['settings'])
            head['digest'], head['names_digest'] = str(head['digest']), str(head['names_digest'])
            head['shards'] = [_natural(size) for size in head['shards']]
            head['images'] = _natural(head['images'])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f'{shown(str(path), 120)} is not the head of a pack ({error}); {REMEDY}.') from error
    if (kind, version) != (FORMAT, VERSION):
        raise UserError(
            f'{shown(str(path), 120)} has the format {shown(kind)}, version {shown(version)}; this package reads '
            f'{FORMAT!r}, version {VERSION}.'
        )
    return head


def _natural(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f'{shown(value, 20)} is not a whole number above 0')
    return value
