"""Reading of checkpoints without running code in them."""

import os
import os.path as osp
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

import torch
from mmengine.runner.checkpoint import _load_checkpoint
from mmengine.utils import apply_to

from mmdecouple.utils.compatibility import OutOfMemoryError
from mmdecouple.utils.errors import MissingFile
from mmdecouple.utils.files import check_regular

from .content import DamagedCheckpoint, UnsafeCheckpoint, UnsafeContent, check_content
from .readers.archives import Archive
from .readers.legacy_files import read_legacy_file
from .readers.plain_pickles import LEGACY_START
from .readers.tensor_pickles import ArchiveUnpickler
from .readers.torchscript import is_torchscript, read_torchscript


@contextmanager
def weights_only_loading() -> Iterator[None]:
    """Context in which `torch.load`, from any caller, reads as `read_checkpoint` does and refuses pickled code.

    torch's own reader (`weights_only=True`) is not used: up to torch 2.5 a file can run code in it (CVE-2025-32434),
    and before 2.4 it has no way to accept log curves.
    """
    before, torch.load = torch.load, _load_safely
    try:
        yield
    finally:
        torch.load = before


def read_checkpoint(
    filename: str, map_location: str | torch.device = 'cpu', allow_pickle: bool = False, mmap: bool = False
) -> dict[str, Any]:
    """Reads and checks a checkpoint without running code in it.

    Args:
        filename: Local path, or a URI of mmengine's `load_checkpoint` (`https://` ...).
        map_location: Device of the tensors.
        allow_pickle: Whether to trust the file and unpickle all of its content. The content is checked in either case,
            and the code of a TorchScript archive is never run.
        mmap: Whether the tensors of a local file stay on disk until they are used. Their checksums and values are then
            not checked.

    Returns:
        The object that was passed to `torch.save`; for a TorchScript archive, its state dict.

    Raises:
        MissingFile: A local file does not exist.
        UserError: The path is a folder, a fifo or a device.
        UnsafeCheckpoint: The file holds more than weights and `allow_pickle` is False.
        DamagedCheckpoint: The file is truncated or not a checkpoint, a checksum does not match, or a tensor cannot
            belong to a valid network (`check_content`).
    """
    local = '://' not in filename
    if local:
        if not osp.lexists(filename):
            raise MissingFile(f'The checkpoint {filename!r} does not exist; check the path (config key load_from).')
        check_regular(filename, 'checkpoint')
    with _naming(repr(filename)):
        if local:
            with open(filename, 'rb') as file:
                content = _read(file, filename, allow_pickle, mmap)
        else:
            with nullcontext() if allow_pickle else weights_only_loading():
                content = _load_checkpoint(filename, 'cpu')
    if not mmap:
        check_content(content, repr(filename))
    if isinstance(content, dict) and isinstance(content.get('meta'), dict) and not allow_pickle:
        # Config in the style of mmcv 1.x, which a resume would execute.
        content['meta'].pop('config', None)
    return content if torch.device(map_location).type == 'cpu' else _moved(content, map_location)


def _load_safely(f: Any, map_location: Any = None, *_: Any, **__: Any) -> Any:
    """Replaces `torch.load`."""
    device = map_location if isinstance(map_location, (str, torch.device)) else 'cpu'
    if isinstance(f, (str, os.PathLike)):
        return read_checkpoint(os.fspath(f), device)
    with _naming('the checkpoint'):
        return _moved(_read(f, 'the checkpoint'), device)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Context that converts errors of readers to lines that name the file."""
    try:
        yield
    except (MissingFile, DamagedCheckpoint, UnsafeCheckpoint):
        raise
    except UnsafeContent as error:
        raise UnsafeCheckpoint(
            f'{name} holds more than weights ({str(error)[:160]}) and loading it could run code in it; '
            'if you trust its origin, set the config key allow_pickle_checkpoint=True.'
        ) from error
    except (MemoryError, OutOfMemoryError):
        # A resume must not skip a valid file because memory is short.
        raise
    except Exception as error:
        # Damaged bytes can raise any error; only those of the readers carry a useful reason.
        meant = isinstance(error, (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError))
        reason = f' ({str(error).strip().splitlines()[0]})' if meant and str(error).strip() else ''
        raise DamagedCheckpoint(
            f'{name} is truncated or not a checkpoint{reason}; copy it again, or name another file.'
        ) from error


def _read(file: BinaryIO, name: str, allow_pickle: bool = False, mmap: bool = False) -> Any:
    start = file.read(2 + len(LEGACY_START))
    file.seek(0)
    if start[:4] == b'PK\x03\x04':
        return _read_archive(Archive(file, name, mmap), allow_pickle, mmap)
    if start[:1] != b'\x80' or start[2:] != LEGACY_START:
        raise DamagedCheckpoint(f'{name!r} is not a checkpoint; name another file.')
    return torch.load(file, 'cpu', weights_only=False) if allow_pickle else read_legacy_file(file)


def _read_archive(archive: Archive, allow_pickle: bool, mmap: bool) -> Any:
    if is_torchscript(archive):
        return read_torchscript(archive)
    if allow_pickle:
        if not mmap:
            archive.verify(set())
        return torch.load(archive.name, 'cpu', weights_only=False, mmap=mmap)
    unpickler = ArchiveUnpickler(archive)
    content = unpickler.load()
    if not mmap:
        archive.verify(unpickler.used)
    return content


def _moved(content: Any, device: str | torch.device) -> Any:
    return apply_to(content, lambda value: isinstance(value, torch.Tensor), lambda value: value.to(device))
