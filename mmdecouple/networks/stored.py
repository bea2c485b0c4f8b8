"""Networks of configs that files carry: their size is known before any memory is spent on them."""

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

# A ViT-L with its frozen teacher has 2,000 modules and 600 million values, half of which the file holds.
_MOST_PARTS, _MOST_VALUES = 10_000, 1 << 29


def build_stored(config: ConfigDict, content: dict[str, Any], where: str) -> nn.Module:
    """The network of a stored config, on the CPU, with weights as its classes begin with.

    It is built without memory first: what does not fit the file, or is too large, is refused in a moment.

    Args:
        config: `model` of what `read_stored_config` gave.
        content: The checkpoint.
        where: What to call it in messages.

    Raises:
        UserError: The config is not one of a network, the backbone is not that of the file, or the network is larger
            than the file by more than `2**29` values.
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
        # Values of any kind can stand at any place, and fail there in any way.
        reason = shown(str(error.args[0] if error.args else error).split('. ')[0], 100)
        raise UserError(
            f'{where}: the network of its stored config cannot be built '
            f'({type(error).__name__}: {reason}); name its config (CONFIG.py=FILE).'
        ) from error


class _RatesOnHost(TorchFunctionMode):
    """Leaves the drop rates of blocks on the CPU, as mmpretrain reads them one by one."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return func(*args, **(kwargs or {}), **(dict(device='cpu') if func is torch.linspace else {}))


@contextmanager
def _limited(where: str) -> Iterator[None]:
    """Ends the building of a network without end."""
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
