"""Reading and writing of weight files: pickles of torch or with numpy arrays, TorchScript, safetensors and .npz."""

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
from .formats.vit_facts import KEY
from .readers.model_configs import properties_beside
from .readers.numpy_archives import read_numpy_archive
from .readers.numpy_pickles import read_numpy_pickle, with_tensors
from .readers.plain_pickles import is_plain_pickle


def read_weights(path: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a weight file on the CPU without running Python code in it.

    Args:
        path: A `.safetensors` file, an `.npz` archive of numpy arrays (TIPS), a TorchScript archive, a pickled dict of
            numpy arrays (detectron2), or a file of `torch.save` with any name, which may hold tensors or numpy arrays.
        allow_pickle: Whether to trust the file and unpickle all of its content.

    Returns:
        The state dict, or the dict that holds it; in `meta`, what the `config.json` of a file of the hub states.

    Raises:
        MissingFile: The file does not exist.
        UserError: The path is a folder, a fifo or a device.
        UnsafeCheckpoint: The file holds more than weights and `allow_pickle` is False.
        DamagedCheckpoint: The file is truncated or not a weight file, a checksum does not match, or a tensor cannot
            belong to a valid network; checked also if `allow_pickle` is True.
    """
    if not osp.lexists(path):
        raise MissingFile(f'The weight file {path!r} does not exist; check the path.')
    check_regular(path, 'weight file')
    content = _read(path, allow_pickle)
    if properties := properties_beside(path):
        content.setdefault('meta', {KEY: properties})
    return content


def _read(path: str, allow_pickle: bool) -> dict[str, Any]:
    if path.endswith('.safetensors'):
        content = _read_safetensors(path)
    elif path.endswith('.npz'):
        content = read_numpy_archive(path)
    elif is_plain_pickle(path):
        content = read_numpy_pickle(path, allow_pickle)
    else:
        try:
            content = read_checkpoint(path, allow_pickle=allow_pickle)
        except UnsafeCheckpoint as error:
            raise UnsafeCheckpoint(
                f'{str(error).rpartition(";")[0]}; if you trust its origin, allow it (tool: --allow-pickle).'
            ) from error
        # ReSim's converter passes arrays to `torch.save`; `read_checkpoint` has checked files without arrays already.
        if not _has_arrays(content):
            return content
        content = with_tensors(content)
    check_content(content, repr(path))
    return content


def write_weights(path: str, content: dict[str, Any]) -> None:
    """Writes a weight file atomically: safetensors for a path ending in `.safetensors`, else with `torch.save`.

    Args:
        path: Target, replaced if it exists.
        content: State dict; for `torch.save`, any dict.
    """
    if path.endswith('.safetensors'):
        # Other programs read from the metadata for which framework the tensors are.
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
        # Besides its own error, the library forwards any error that a damaged header causes in torch.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedCheckpoint(
            f'{path!r} is truncated or not a safetensors file ({reason}); copy it again, or name another file.'
        ) from error
