"""TorchScript archives read as tensors: neither their code nor torch's interpreter is run."""

import re
from typing import Any

from torch import Tensor

from mmdecouple.utils.errors import shown
from mmdecouple.weights.content import DamagedCheckpoint, UnsafeCheckpoint

from .archives import Archive
from .plain_pickles import TensorUnpickler

_CLASS = re.compile(r'^class (\w+)', re.MULTILINE)
_LIST = r'^  {} = \[(.*?)\]'
_MOST_TENSORS = 100_000


class _ScriptObject:
    """An object of a class that the archive defines: its attributes, and nothing that they could do."""

    kind = ''
    attributes: Any = None

    def __setstate__(self, state: Any) -> None:
        self.attributes = state


class _ScriptUnpickler(TensorUnpickler):
    """Knows the archive's own classes as well, as containers."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self._kinds: dict[str, type] = {}

    def known(self, module: str, name: str) -> Any:
        """What stands for a name, or None."""
        if module == '__torch__' or module.startswith('__torch__.'):
            kind = f'{module}.{name}'
            return self._kinds.setdefault(kind, type('ScriptObject', (_ScriptObject,), dict(kind=kind)))
        if module == 'torch.jit._pickle':
            return _plain_value
        return super().known(module, name)


def _plain_value(value: Any = None, *_: Any) -> Any:
    """Stands in for the functions that give a list or a dict its type in TorchScript."""
    return value


def is_torchscript(archive: Archive) -> bool:
    """Whether an archive of torch is a module with its code."""
    return 'constants.pkl' in archive


def read_torchscript(archive: Archive) -> dict[str, Tensor]:
    """The state dict of a scripted or traced module, as `torch.jit.load` gives it.

    Raises:
        UnsafeCheckpoint: A part of it restores itself by code, which is not run.
        DamagedCheckpoint: It is no module, or is not whole.
    """
    unpickler = _ScriptUnpickler(archive)
    module = unpickler.load()
    sources = [name for name in archive.names if name.startswith('code/') and name.endswith('.py')]
    kept = {kind: names for source in sources for kind, names in _tensors_of_classes(archive, source).items()}
    archive.verify(unpickler.used)
    state: dict[str, Tensor] = {}
    waiting = [('', module)]
    while waiting:
        prefix, owner = waiting.pop()
        if not isinstance(owner.attributes if isinstance(owner, _ScriptObject) else None, dict):
            raise UnsafeCheckpoint('a TorchScript object that restores itself by code')
        names = kept.get(owner.kind, [])
        for name, value in owner.attributes.items():
            if name in names and isinstance(value, Tensor):
                state[f'{prefix}{name}'] = value
            elif isinstance(value, _ScriptObject) and value.kind in kept:
                waiting.append((f'{prefix}{name}.', value))
        if len(state) + len(waiting) > _MOST_TENSORS or len(prefix) > _MOST_TENSORS:
            raise DamagedCheckpoint(f'{shown(archive.path)} is no module: its parts contain each other.')
    return state


def _tensors_of_classes(archive: Archive, source: str) -> dict[str, list[str]]:
    """Class of a module -> names of its parameters and buffers, out of its source text."""
    text = archive.read(source).decode()
    module = source.removeprefix('code/').removesuffix('.py').replace('/', '.')
    found = {}
    for match in _CLASS.finditer(text):
        body = text[match.end() :].partition('\nclass ')[0]
        lists = [re.search(_LIST.format(key), body, re.MULTILINE) for key in ('__parameters__', '__buffers__')]
        if any(lists):
            found[f'{module}.{match[1]}'] = [name for one in lists if one for name in re.findall(r'"(.+?)"', one[1])]
    return found
