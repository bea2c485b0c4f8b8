"""Checks that apply to weight files of every form: sound values, plain tensors, expected containers."""

from typing import Any

import torch
from torch import Tensor

from mmdecouple.utils.errors import UserError, shown

from .finite import is_finite

# Files share tensors between names, such as a head that is stored twice; more than this is made to exhaust memory.
_MOST_SHARING = 8


class UnsafeCheckpoint(UserError):
    """A checkpoint that holds more than weights and plain data."""


class DamagedCheckpoint(UserError):
    """A file that is truncated, no checkpoint, or one whose tensors cannot be those of a network."""


def check_content(content: Any, where: str) -> None:
    """Refuses what a file holds if it cannot be the weights of a network, whichever reader read it.

    Args:
        content: All that was read; nothing in it is changed. Every container is visited once.
        where: What to call the file in messages.

    Raises:
        DamagedCheckpoint: It is no dict; `state_dict` or `meta` is none; a tensor holds NaN or infinity, is sparse,
            quantized, complex or without data, or has no name; names share storages to exhaust memory.
    """
    if not isinstance(content, dict):
        raise DamagedCheckpoint(f'{where} holds a {type(content).__name__}, not a dict of weights; name another file.')
    for key, kinds in (('state_dict', dict), ('meta', (dict, type(None)))):
        if key in content and not isinstance(content[key], kinds):
            raise DamagedCheckpoint(
                f'{where} is no checkpoint: its {key} is {shown(content[key])}, not a dict; name another file.'
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
                    f'{where} holds a tensor under {shown(key)}, which is no name; name another file.'
                )
            if isinstance(item, (Tensor, dict, list, tuple)):
                waiting.append((f'{name}.{key}' if name else str(key), item))
    if used > _MOST_SHARING * sum(storages.values()):
        raise DamagedCheckpoint(
            f'{where} gives {used} bytes of tensors out of {sum(storages.values())} stored ones; name another file.'
        )


def _check_tensor(value: Tensor, name: str, where: str) -> None:
    # A quantized or sparse tensor has no plain storage to look into.
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
            f'{where}: the tensor {shown(name, 100)} holds NaN or infinity, so its training went '
            'wrong or the file is damaged; take an earlier checkpoint, or copy it again.'
        )
