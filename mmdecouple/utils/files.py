"""Files that exist whole or not at all."""
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """Writes JSON beside `path` and renames it, so that no reader ever sees a part of it.

    Args:
        path: target; missing folders are made.
        content: JSON-able, without NaN and infinity, which JSON does not know.
        indent: spaces of indentation; None for one line.

    Raises:
        ValueError: `content` holds NaN or infinity.
    """
    write_bytes(path, (json.dumps(content, indent=indent, allow_nan=False) + '\n').encode())


def write_arrays(path: str | Path, **arrays: Any) -> Path:
    """Writes arrays as one compressed .npz, whole or not at all.

    Args:
        path: target; missing folders are made.
        arrays: name -> array, or what numpy makes one of.

    Returns:
        The path.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **{name: np.asarray(value) for name, value in arrays.items()})
    write_bytes(path, content.getvalue())
    return Path(path)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file beside `path` and renames it, so that no reader ever sees a part of it.

    Args:
        path: target; missing folders are made.
        content: the whole file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'wb') as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
