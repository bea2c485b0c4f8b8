"""Tensors of TorchScript archives, read without running their code or torch's interpreter."""

import re
from typing import Any

from torch import Tensor

from mmdecouple.utils.errors import shown
from mmdecouple.weights.content import DamagedCheckpoint, UnsafeContent

from .archives import Archive
from .tensor_pickles import ArchiveUnpickler

_CLASS = re.compile(r'^class (\w+)', re.MULTILINE)
_LIST = r'^  {} = \[(.*?)\]'
_MOST_TENSORS = 100_000


class _ScriptObject:
    """Object of a class that the archive defines, with its attributes but without its methods."""

    kind = ''
    attributes: Any = None


class _ScriptUnpickler(ArchiveUnpickler):
    """Unpickler that also accepts the archive's own classes, as containers."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self._kinds: dict[str, type] = {}

    def known(self, module: str, name: str) -> Any:
        """See `PlainUnpickler.known`."""
        if module == '__torch__' or module.startswith('__torch__.'):
            kind = f'{module}.{name}'
            return self._kinds.setdefault(kind, type('ScriptObject', (_ScriptObject,), dict(kind=kind)))
        if module == 'torch.jit._pickle':
            return _plain_value
        return super().known(module, name)

    def restore(self, value: Any, state: Any) -> None:
        """See `PlainUnpickler.restore`."""
        if isinstance(value, _ScriptObject):
            value.attributes = state
        else:
            super().restore(value, state)


def _plain_value(value: Any = None, *_: Any) -> Any:
    """Replaces the functions that assign a TorchScript type to a list or a dict."""
    return value


def is_torchscript(archive: Archive) -> bool:
    """Returns whether an archive of torch is a TorchScript module."""
    return 'constants.pkl' in archive


def read_torchscript(archive: Archive) -> dict[str, Tensor]:
    """Returns the state dict of a scripted or traced module, as returned by `torch.jit.load`.

    Raises:
        UnsafeContent: An object in the module restores itself by code, which is not run.
        DamagedCheckpoint: The archive is not a module, or is incomplete.
    """
    unpickler = _ScriptUnpickler(archive)
    module = unpickler.load()
    sources = [name for name in archive.names if name.startswith('code/') and name.endswith('.py')]
    tensors_of = {kind: names for source in sources for kind, names in _tensors_of_classes(archive, source).items()}
    archive.verify(unpickler.used)
    state: dict[str, Tensor] = {}
    waiting = [('', module)]
    while waiting:
        prefix, owner = waiting.pop()
        if not isinstance(owner.attributes if isinstance(owner, _ScriptObject) else None, dict):
            raise UnsafeContent('a TorchScript object that restores itself by code')
        names = tensors_of.get(owner.kind, [])
        for name, value in owner.attributes.items():
            if name in names and isinstance(value, Tensor):
                state[f'{prefix}{name}'] = value
            elif isinstance(value, _ScriptObject) and value.kind in tensors_of:
                waiting.append((f'{prefix}{name}.', value))
        if len(state) + len(waiting) > _MOST_TENSORS or len(prefix) > _MOST_TENSORS:
            raise DamagedCheckpoint(
                f'{shown(archive.name)} is not a module, as its parts contain each other; name another file.'
            )
    return state


def _tensors_of_classes(archive: Archive, source: str) -> dict[str, list[str]]:
    """Returns a dict that maps classes of a module to the names of their parameters and buffers, from its source."""
    text = archive.read(source).decode()
    module = source.removeprefix('code/').removesuffix('.py').replace('/', '.')
    found = {}
    for match in _CLASS.finditer(text):
        body = text[match.end() :].partition('\nclass ')[0]
        lists = [re.search(_LIST.format(key), body, re.MULTILINE) for key in ('__parameters__', '__buffers__')]
        if any(lists):
            found[f'{module}.{match[1]}'] = [name for one in lists if one for name in re.findall(r'"(.+?)"', one[1])]
    return found
