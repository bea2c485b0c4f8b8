"""Parts of newer versions of torch that supported versions lack, each with the first version that has it.

All code takes them from here. An entry whose version is no longer newer than the oldest supported torch can be replaced
by torch's own.
"""

import copyreg
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_gather
from packaging.version import Version
from torch import nn

# 2.5: the error was known for CUDA only.
OutOfMemoryError: type[Exception] = getattr(torch, 'OutOfMemoryError', torch.cuda.OutOfMemoryError)
# 2.3: unsigned types of more than 8 bits.
UNSIGNED_TYPES = tuple(getattr(torch, name) for name in ('uint16', 'uint32', 'uint64') if hasattr(torch, name))
# 2.2: errors of processes that cannot reach each other.
DistNetworkError: type[Exception] = getattr(torch.distributed, 'DistNetworkError', RuntimeError)
_OF_A_CONNECTION = r'Socket Timeout|Broken pipe|Connection (?:reset|closed|refused)'
# 2.3: before, neither autocast nor the loss scale supported float16 on a CPU.
CPU_SUPPORTS_FP16 = hasattr(torch.amp, 'GradScaler')
# 2.2: bfloat16 between processes without GPUs.
_GLOO_HAS_BF16 = Version(torch.__version__) >= Version('2.2')
# 2.5, the oldest version that was tried: in 2.1, compiling removes the hooks of all optimizers, without which the
# teacher stands still and gradients are not checked.
CAN_COMPILE = Version(torch.__version__) >= Version('2.5')


def grad_scaler(device: str, enabled: bool) -> torch.cuda.amp.GradScaler:
    """Returns the loss scale of fp16 (2.3: `torch.amp.GradScaler`)."""
    if CPU_SUPPORTS_FP16:
        return torch.amp.GradScaler(device, enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)


def is_of_peers(error: RuntimeError) -> bool:
    """Returns whether processes could not reach each other (2.2: `torch.distributed.DistError`)."""
    if hasattr(torch.distributed, 'DistError'):
        return isinstance(error, torch.distributed.DistError)
    return isinstance(error, torch.distributed.DistBackendError) or re.search(_OF_A_CONNECTION, str(error)) is not None


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """Returns the rows of all ranks, (world size * B, ...), of any type (2.2: `all_gather` of gloo takes bfloat16).

    Args:
        rows: Rows of this rank, (B, ...); B must be the same on every rank.
    """
    rows = rows.contiguous()
    if rows.dtype == torch.bfloat16 and rows.is_cpu and not _GLOO_HAS_BF16:
        # Values of another type of as many bytes: gathering copies them unchanged.
        return torch.cat([part.view(torch.bfloat16) for part in all_gather(rows.view(torch.half))])
    return torch.cat(all_gather(rows))


def after_state_dict(module: nn.Module, hook: Callable[..., None]) -> None:
    """Registers `hook(module, state, prefix, metadata)` (2.5: `register_state_dict_post_hook`)."""
    getattr(module, 'register_state_dict_post_hook', module._register_state_dict_hook)(hook)


def leave_out_of_state_dict(module: nn.Module) -> None:
    """Leaves the tensors of a module, such as a frozen network, out of state dicts and thereby of checkpoints."""
    after_state_dict(module, _leave_out)


def before_load_state_dict(module: nn.Module, hook: Callable[..., None]) -> None:
    """Registers `hook(module, state, prefix, ...)` (2.5: `register_load_state_dict_pre_hook`)."""
    earlier: Any = partial(module._register_load_state_dict_pre_hook, with_module=True)
    getattr(module, 'register_load_state_dict_pre_hook', earlier)(hook)


def _generator(device: torch.device, state: torch.Tensor) -> torch.Generator:
    generator = torch.Generator(device)
    generator.set_state(state)
    return generator


if '__reduce__' not in vars(torch.Generator):
    # 2.3: generators, which data preprocessors have, can be copied with their modules.
    copyreg.pickle(torch.Generator, lambda generator: (_generator, (generator.device, generator.get_state())))


def _leave_out(_: nn.Module, state: dict[str, Any], prefix: str, *_rest: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]
