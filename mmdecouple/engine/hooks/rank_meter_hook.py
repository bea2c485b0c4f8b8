"""Effective rank of the measured features in the log, which shows a collapse earlier than a downstream task."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdecouple.engine.async_copy import AsyncCopy
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.models.backbones import dense_map
from mmdecouple.registry import HOOKS
from mmdecouple.utils.settings import Settings

_EPSILON = 1e-7


def effective_rank(features: Tensor) -> float:
    """Returns the RankMe of a feature matrix: exp of the entropy of its singular values, divided by their sum.

    Args:
        features: Feature matrix, (N, C).

    Returns:
        A number in [1, min(N, C)] up to rounding; 1 if all rows are multiples of one vector.

    Source: Garrido et al., "RankMe: Assessing the downstream performance of pretrained self-supervised representations
        by their rank", ICML 2023, eq. 1 and 2.
    """
    values = torch.linalg.svdvals(features.double())
    fractions = values / values.sum().clamp(min=_EPSILON) + _EPSILON
    return float((-(fractions * fractions.log()).sum()).exp())


@HOOKS.register_module()
class RankMeterHook(Hook):
    """Logs `effective_rank` at the first iteration and at every `interval`-th iteration.

    The matrix has one row per image of the first view: the mean of the dense map that the measures read, of the network
    that they read (`measured`), in evaluation mode and float32. It is computed before the forward pass of the step and
    copied to the host during the pass, so that no step waits for it. Each process uses its own images; the main process
    logs.

    Args:
        interval: Iterations between two values, at least 1.
        images: Largest number of images of a batch that are used, at least 2; an upper bound of the rank.

    Raises:
        SettingError: A value is out of range.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, interval: int = 50, images: int = 64) -> None:
        check = Settings(self, 'custom_hooks')
        self.interval = check.number('interval', interval, 1, whole=True)
        self.images = check.number('images', images, 2, whole=True)
        self._due = False
        self._features: AsyncCopy | None = None

    def before_train(self, runner: Runner) -> None:
        """Wraps the model's `begin`, which returns the normalized views of a step."""
        model = bare_model(runner)
        begin = getattr(model, 'begin', None)
        if begin is None:
            return

        @torch.compiler.disable
        def observed(inputs: list[Tensor], data_samples: Any = None) -> Any:
            step = begin(inputs, data_samples)
            if self._due:
                self._features = AsyncCopy(pooled_features(model, step.views[0][: self.images]))
                self._due = False
            return step

        model.begin = observed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Decides whether this iteration is measured."""
        self._due, self._features = runner.iter == 0 or (runner.iter + 1) % self.interval == 0, None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Passes the rank to the loggers."""
        if self._features is not None:
            features = self._features.read()
            if torch.isfinite(features).all():
                runner.message_hub.update_scalar('train/effective_rank', effective_rank(features))


@torch.no_grad()
def pooled_features(model: nn.Module, images: Tensor) -> Tensor:
    """Returns the mean of the dense map that the measures read, float32 (N, C).

    The network is in evaluation mode during the computation, so that running statistics do not change and nothing is
    dropped. Autocast is disabled, because the following step would reuse casts of weights made without gradients.

    Args:
        model: Model with `measured_backbone` and `layer`.
        images: Normalized images, (N, 3, H, W).
    """
    network = model.measured_backbone
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.autocast(images.device.type, enabled=False):
            return dense_map(network, images.float(), layer=model.layer).float().mean((2, 3))
    finally:
        for module in training:
            module.training = True
