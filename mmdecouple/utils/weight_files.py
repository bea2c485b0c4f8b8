"""Weight files of any origin: pickled by torch or with numpy arrays, TorchScript, or safetensors."""
import argparse
import io
import os.path as osp
import zipfile
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from mmdecouple.utils.checkpoint import AtomicLocalBackend, DamagedCheckpoint, UnsafeCheckpoint, read_checkpoint
from mmdecouple.utils.errors import MissingFile
from mmdecouple.utils.numpy_pickles import is_plain_pickle, read_numpy_pickle


def read_weights(path: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Reads a weight file on the CPU without running Python code that is in it.

    Beside tensors and plain data a pickled file may hold an `argparse.Namespace`, in which DINO, iBOT and MAE
    keep the options of their run.

    Args:
        path: A `.safetensors` file, a TorchScript archive, a pickled dict of numpy arrays (detectron2), or anything
            `torch.save` wrote, by whatever name.
        allow_pickle: Whether to trust the file and unpickle whatever it holds.

    Returns:
        The state dict, or the dict that holds it.

    Raises:
        FileNotFoundError: If the file does not exist.
        UnsafeCheckpoint: If it holds more than weights and `allow_pickle` is False.
        DamagedCheckpoint: If it is truncated or no weight file.
    """
    if not osp.isfile(path):
        raise MissingFile(f'There is no weight file {path!r}; check the path.')
    if path.endswith('.safetensors'):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise DamagedCheckpoint(f'{path!r} is truncated or no safetensors file ({error}); copy it again, or name '
                                    'another file.') from error
    if _is_torchscript(path):
        return torch.jit.load(path, map_location='cpu').state_dict()
    if is_plain_pickle(path):
        return read_numpy_pickle(path, allow_pickle)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = read_checkpoint(path, allow_pickle=allow_pickle)
    except UnsafeCheckpoint as error:
        raise UnsafeCheckpoint(f'{str(error).partition(";")[0]}; if you trust its origin, allow it '
                               '(tool: --allow-pickle).') from error
    if not isinstance(content, dict):
        raise DamagedCheckpoint(f'{path!r} holds a {type(content).__name__}, not a dict of weights.')
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
    AtomicLocalBackend().put(data, path)


def _is_torchscript(path: str) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())
