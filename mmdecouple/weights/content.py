"""Checks of the content of weight files in any format: values, kinds of tensors, containers."""

from typing import Any

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError, shown

from .finite import is_finite

# Names may share storage, such as a head that is stored twice; files beyond this factor are made to exhaust memory.
_MOST_SHARING = 8


class UnsafeContent(Exception):
    """What a file holds besides weights and plain data, in a few words; `UnsafeCheckpoint` also names the file."""


class UnsafeCheckpoint(UserError):
    """A checkpoint that holds more than weights and plain data."""


class DamagedCheckpoint(UserError):
    """A file that is truncated, not a checkpoint, or whose tensors cannot be those of a network."""


def check_content(content: Any, where: str) -> None:
    """Checks that the content of a file, read by any reader, can be the weights of a network.

    Args:
        content: Content of the file, which is not changed. Every container is visited once.
        where: Name of the file in messages.

    Raises:
        DamagedCheckpoint: The content, `state_dict` or `meta` is not a dict; a tensor holds NaN or infinity, is sparse,
            quantized, complex or without data, or has no name; or names share storages so often that memory would be
            exhausted.
    """
    if not isinstance(content, dict):
        raise DamagedCheckpoint(f'{where} holds a {type(content).__name__}, not a dict of weights; name another file.')
    for key, kinds in (('state_dict', dict), ('meta', (dict, type(None)))):
        if key in content and not isinstance(content[key], kinds):
            raise DamagedCheckpoint(
                f'{where} is not a checkpoint: its {key} is {shown(content[key])}, not a dict; name another file.'
            )
    waiting: list[tuple[str, Any]] = [('', content)]
    seen: set[int] = set()
    storages: dict[int, int] = {}
    used = 0
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Tensor):
            _check_tensor(value, name, where)
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            used += value.numel() * value.element_size()
            continue
        if id(value) in seen or not isinstance(value, (dict, list, tuple)):
            continue
        seen.add(id(value))
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, Tensor) and isinstance(value, dict) and not isinstance(key, str):
                raise DamagedCheckpoint(
                    f'{where} holds a tensor under {shown(key)}, which is not a name; name another file.'
                )
            if isinstance(item, (Tensor, dict, list, tuple)):
                waiting.append((f'{name}.{key}' if name else str(key), item))
    if used > _MOST_SHARING * sum(storages.values()):
        raise DamagedCheckpoint(
            f'{where} expands to {used} bytes of tensors from {sum(storages.values())} stored ones; name another file.'
        )


def _check_tensor(value: Tensor, name: str, where: str) -> None:
    # A quantized or sparse tensor has no plain storage that could be inspected.
    kinds = dict(
        quantized=value.is_quantized,
        sparse=value.layout != torch.strided,
        complex=value.is_complex(),
        empty=value.is_meta,
    )
    kind = next((kind for kind, found in kinds.items() if found), None)
    if kind is None and value.numel() * value.element_size() > value.untyped_storage().nbytes():
        kind = f'{"x".join(map(str, value.shape))} without as many values'
    if kind:
        raise DamagedCheckpoint(f'{where}: the tensor {shown(name)} is {kind}; name a file of plain weights.')
    if value.is_floating_point() and value.numel() and not is_finite(value.detach()):
        raise DamagedCheckpoint(
            f'{where}: the tensor {shown(name, 100)} holds NaN or infinity, so its training '
            'diverged or the file is damaged; use an earlier checkpoint, or copy it again.'
        )
