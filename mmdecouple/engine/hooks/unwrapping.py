"""Access to the model and the optimizers inside mmengine's wrappers."""

from collections.abc import Iterator

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer


def bare_model(runner: Runner) -> nn.Module:
    """Returns the model of a runner without the wrapper for distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def bare_wrappers(runner: Runner) -> Iterator[OptimWrapper]:
    """Yields the optimizer wrappers of a runner, one per optimizer."""
    wrapper = runner.optim_wrapper
    yield from wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def bare_optimizers(runner: Runner) -> Iterator[Optimizer]:
    """Yields the torch optimizers of a runner."""
    for wrapper in bare_wrappers(runner):
        yield wrapper.optimizer
