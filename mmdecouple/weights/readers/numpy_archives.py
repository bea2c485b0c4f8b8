"""Archives of numpy arrays (`.npz`), the format of the weights of TIPS, read without unpickling anything."""

import zipfile
from pathlib import Path

import numpy as np
from torch import Tensor

from mmdecouple.weights.content import DamagedCheckpoint

from .numpy_pickles import with_tensors

# Weights hardly shrink when they are compressed; a file that grows more than this is made to exhaust memory.
_MOST_GROWTH = 16


def read_numpy_archive(path: str) -> dict[str, Tensor]:
    """Reads an archive of numpy arrays; the checksum of every array is verified.

    Args:
        path: Local file.

    Raises:
        DamagedCheckpoint: The file is truncated, not such an archive, holds objects other than numbers, or unpacks to
            more than 16 times its size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MOST_GROWTH * Path(path).stat().st_size:
            raise ValueError(f'it unpacks to {unpacked} bytes')
        with np.load(path, allow_pickle=False) as arrays:
            found = with_tensors(dict(arrays))
    except Exception as error:
        # Damaged bytes raise errors of zipfile, zlib and numpy.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedCheckpoint(
            f'{path!r} is truncated or not an archive of numpy arrays ({reason}); copy it again, or name another file.'
        ) from error
    other = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if other:
        raise DamagedCheckpoint(f'{path!r}: {other[0]} is not an array of numbers; name another file.')
    return found
