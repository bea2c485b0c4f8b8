"""Building of networks from stored configs, whose size is checked before memory is allocated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import ConfigDict
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError, shown
from mmdecouple.weights.loading import load_weights

# A ViT-L with its frozen teacher has 2,000 modules and 600 million values, of which the file holds half.
_MOST_PARTS, _MOST_VALUES = 10_000, 1 << 29


def build_stored(config: ConfigDict, content: dict[str, Any], where: str) -> nn.Module:
    """Builds the network of a stored config on the CPU, with the initial weights of its classes.

    The network is built on the meta device first, so that a network that does not match the file or is too large is
    refused without allocating memory.

    Args:
        config: Config `model` of the result of `read_stored_config`.
        content: Content of the checkpoint.
        where: Name of the checkpoint in messages.

    Raises:
        UserError: The network cannot be built, its backbone does not match the file, or the network exceeds the file by
            more than `2**29` values.
    """
    try:
        with torch.device('meta'), _RatesOnHost(), _limited(where):
            model = MODELS.build(deepcopy(config))
        load_weights(model, content, where, dry=True)
        held = sum(
            value.numel() for value in content.get('state_dict', content).values() if isinstance(value, torch.Tensor)
        )
        size = sum(value.numel() for value in (*model.parameters(), *model.buffers()))
        if size > held + _MOST_VALUES:
            raise UserError(
                f'{where}: the network of its stored config has {size} values, of which the file holds '
                f'{held}; name its config (CONFIG.py=FILE).'
            )
        return MODELS.build(config)
    except UserError:
        raise
    except Exception as error:
        # A stored config may hold any value at any place, which may raise any error.
        reason = shown(str(error.args[0] if error.args else error).split('. ')[0], 100)
        raise UserError(
            f'{where}: the network of its stored config cannot be built '
            f'({type(error).__name__}: {reason}); name its config (CONFIG.py=FILE).'
        ) from error


class _RatesOnHost(TorchFunctionMode):
    """Mode that keeps the drop rates of blocks on the CPU, because mmpretrain reads their values."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return func(*args, **(kwargs or {}), **(dict(device='cpu') if func is torch.linspace else {}))


@contextmanager
def _limited(where: str) -> Iterator[None]:
    """Context that limits the number of modules and parameters that are built."""
    parts = 0

    def count(*_: Any) -> None:
        nonlocal parts
        parts += 1
        if parts > _MOST_PARTS:
            raise UserError(
                f'{where}: the network of its stored config has more than {_MOST_PARTS} parts; name its '
                'config (CONFIG.py=FILE).'
            )

    handles = [
        register(count)
        for register in (register_module_module_registration_hook, register_module_parameter_registration_hook)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
