"""The plain model and optimizers behind mmengine's wrappers."""

from collections.abc import Iterator

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer


def bare_model(runner: Runner) -> nn.Module:
    """The runner's model without its wrapper for several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def bare_wrappers(runner: Runner) -> Iterator[OptimWrapper]:
    """The runner's optimizer wrappers, each of one optimizer."""
    wrapper = runner.optim_wrapper
    yield from wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def bare_optimizers(runner: Runner) -> Iterator[Optimizer]:
    """The runner's torch optimizers."""
    for wrapper in bare_wrappers(runner):
        yield wrapper.optimizer
