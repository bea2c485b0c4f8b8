"""Weight files of any origin: pickled by torch or with numpy arrays, TorchScript, or safetensors."""

import io
import os.path as osp
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from mmdecouple.utils.errors import MissingFile
from mmdecouple.utils.files import check_regular, write_bytes

from .checkpoint import read_checkpoint
from .content import DamagedCheckpoint, UnsafeCheckpoint, check_content
from .readers.numpy_pickles import read_numpy_pickle, with_tensors
from .readers.plain_pickles import is_plain_pickle


def read_weights(path: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a weight file on the CPU without running Python code that is in it.

    Args:
        path: A `.safetensors` file, a TorchScript archive, a pickled dict of numpy arrays (detectron2), or anything
            `torch.save` wrote, by whatever name.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.

    Returns:
        The state dict, or the dict that holds it.

    Raises:
        MissingFile: If the file does not exist.
        UserError: If it is a folder, a fifo or a device.
        UnsafeCheckpoint: If it holds more than weights and `allow_pickle` is False.
        DamagedCheckpoint: If it is truncated or no weight file, a checksum does not match, or a tensor is not one of a
            sound network, also where `allow_pickle` is True.
    """
    if not osp.lexists(path):
        raise MissingFile(f'There is no weight file {path!r}; check the path.')
    check_regular(path, 'weight file')
    if path.endswith('.safetensors'):
        content = _read_safetensors(path)
    elif is_plain_pickle(path):
        content = read_numpy_pickle(path, allow_pickle)
    else:
        try:
            content = read_checkpoint(path, allow_pickle=allow_pickle)
        except UnsafeCheckpoint as error:
            raise UnsafeCheckpoint(
                f'{str(error).rpartition(";")[0]}; if you trust its origin, allow it (tool: --allow-pickle).'
            ) from error
        # The converter of ReSim gives arrays to `torch.save`; what holds none has been checked.
        if not _has_arrays(content):
            return content
        content = with_tensors(content)
    check_content(content, repr(path))
    return content


def write_weights(path: str, content: dict[str, Any]) -> None:
    """Writes a weight file whole or not at all; `.safetensors` by its name, else `torch.save`.

    Args:
        path: Target, replaced if it exists.
        content: A state dict, or for `torch.save` any dict.
    """
    if path.endswith('.safetensors'):
        # Other programs ask the metadata which framework the tensors are for.
        data = save({key: value.contiguous() for key, value in content.items()}, metadata={'format': 'pt'})
    else:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getvalue()
    write_bytes(path, data)


def _has_arrays(content: dict[str, Any]) -> bool:
    parts = (content, *(part for part in content.values() if isinstance(part, dict)))
    return any(isinstance(value, np.ndarray) for part in parts for value in part.values())


def _read_safetensors(path: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except Exception as error:
        # Beside its own error the library passes on whatever a damaged header makes of torch.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedCheckpoint(
            f'{path!r} is truncated or no safetensors file ({reason}); copy it again, or name another file.'
        ) from error
