"""Learning rates of the recipes, equal to the official code at every iteration."""

import math
from typing import Any

from mmengine.optim import _ParamScheduler

from mmdecouple.registry import PARAM_SCHEDULERS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Linear warm-up, then half a cosine, as a function of the step alone.

    With W warm-up steps of N in all: lr_i = base * (s + (1 - s) * i / (W - 1)) for i < W, then
    eta_min + (base - eta_min) * (1 + cos(pi * (i - W) / (N - W))) / 2.
    mmengine's `LinearLR` multiplies its last value and so cannot start from zero.

    Args:
        optimizer: An optimizer or its wrapper; the lr of each group is its base.
        warmup: W, in epochs or, without `by_epoch`, in iterations; >= 0 and less than N.
        eta_min: The lr that the cosine approaches, >= 0.
        warmup_endpoint: Whether the warm-up's last step is at the base lr already, which the cosine's first repeats
            (DINO, iBOT). Otherwise the divisor above is W (MAE, MaskAlign, SoCo).
        start: s, the lr of the first step as a share of the base, in [0, 1] (SoCo: 0.01).
        end: N, in the unit of `warmup`; the runner fills in the length of the run.
        by_epoch: Whether a step is an epoch; the recipes convert it to iterations (`convert_to_iter_based=True`).

    Raises:
        ValueError: If the warm-up is negative or not shorter than the run, or `start` is out of range.

    Source: `cosine_scheduler` of facebookresearch/dino (utils.py); util/lr_sched.py of OpenDriveLab/maskalign;
        `hologerry/SoCo contrast/lr_scheduler.py`.
    """

    def __init__(
        self,
        optimizer: Any,
        warmup: int,
        eta_min: float,
        end: int,
        warmup_endpoint: bool = True,
        by_epoch: bool = True,
        start: float = 0.0,
    ) -> None:
        check = Settings(self, 'param_scheduler')
        check.number('warmup', warmup, 0)
        check.number('eta_min', eta_min, 0)
        check.number('start', start, 0, 1)
        check.flag('warmup_endpoint', warmup_endpoint)
        if not warmup < end:
            raise UserError(
                f'WarmupCosineLR: warmup must be >= 0 and less than the length of the run, got {warmup} '
                f'of {end} (config keys param_scheduler.warmup and train_cfg.max_epochs).'
            )
        self.warmup, self.eta_min, self.warmup_endpoint, self.start = warmup, eta_min, warmup_endpoint, start
        super().__init__(optimizer, 'lr', end=end, by_epoch=by_epoch)

    @classmethod
    def build_iter_from_epoch(
        cls, *args: Any, warmup: int, end: int, epoch_length: int, by_epoch: bool = True, **kwargs: Any
    ) -> 'WarmupCosineLR':
        """Builds it by iteration from lengths in epochs."""
        Settings(cls.__name__, 'param_scheduler').number('warmup', warmup, 0)
        return cls(*args, warmup=warmup * epoch_length, end=end * epoch_length, by_epoch=False, **kwargs)

    def _get_value(self) -> list[float]:
        step = self.last_step
        if step < self.warmup:
            share = self.start + (1 - self.start) * step / max(self.warmup - self.warmup_endpoint, 1)
            return [base * share for base in self.base_values]
        share = (1 + math.cos(math.pi * (step - self.warmup) / (self.end - self.warmup))) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_values]
