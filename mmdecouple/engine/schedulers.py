"""Learning-rate schedule of the official implementations, equal to them at every iteration."""

import math
from typing import Any

from mmengine.optim import _ParamScheduler

from mmdecouple.registry import PARAM_SCHEDULERS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Linear warm-up followed by a half cosine, computed from the step alone.

    With W warm-up steps of N = end - begin steps in total, lr_i = base * (s + (1 - s) * i / (W - 1)) for i < W, and
    eta_min + (base - eta_min) * (1 + cos(pi * (i - W) / (N - W))) / 2 otherwise.
    mmengine's `LinearLR` scales its previous value and therefore cannot start from zero.

    Args:
        optimizer: An optimizer or its wrapper; the lr of each group is its base.
        warmup: W, in epochs, or in iterations if `by_epoch` is False; at least 0 and less than N.
        begin: First step of the schedule, in the unit of `warmup`, for a second warm-up after an earlier schedule.
        eta_min: Learning rate at the end of the cosine, at least 0.
        end: Step after the last one, in the unit of `warmup`; the runner sets it to the length of the run.
        warmup_endpoint: Whether the last warm-up step has the base lr, which the first cosine step repeats (DINO,
            iBOT). Otherwise the divisor above is W (MAE, MaskAlign, SoCo).
        by_epoch: Whether a step is an epoch; the recipes convert epochs to iterations (`convert_to_iter_based=True`).
        start: s, the lr of the first step as a fraction of the base, in [0, 1] (SoCo: 0.01).

    Raises:
        UserError: The warm-up is negative or not shorter than the run, or another value is out of range.

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
        begin: int = 0,
    ) -> None:
        check = Settings(self, 'param_scheduler')
        check.number('warmup', warmup, 0)
        check.number('eta_min', eta_min, 0)
        check.number('start', start, 0, 1)
        check.flag('warmup_endpoint', warmup_endpoint)
        check.number('begin', begin, 0)
        if not begin < end:
            raise UserError(
                f'WarmupCosineLR: the schedule begins at {begin}, but the run ends at {end} (config keys '
                'param_scheduler.begin and train_cfg.max_epochs).'
            )
        if not warmup < end - begin:
            raise UserError(
                f'WarmupCosineLR: warmup must be >= 0 and less than the length of the schedule, got {warmup} '
                f'of {end - begin} (config keys param_scheduler.warmup and train_cfg.max_epochs).'
            )
        self.warmup, self.eta_min, self.warmup_endpoint, self.start = warmup, eta_min, warmup_endpoint, start
        super().__init__(optimizer, 'lr', begin=begin, end=end, by_epoch=by_epoch)

    @classmethod
    def build_iter_from_epoch(
        cls, *args: Any, warmup: int, end: int, epoch_length: int, begin: int = 0, by_epoch: bool = True, **kwargs: Any
    ) -> 'WarmupCosineLR':
        """Builds a schedule by iteration from lengths in epochs."""
        for key, value in dict(warmup=warmup, begin=begin).items():
            Settings(cls.__name__, 'param_scheduler').number(key, value, 0)
        lengths = {key: value * epoch_length for key, value in dict(warmup=warmup, begin=begin, end=end).items()}
        return cls(*args, **lengths, by_epoch=False, **kwargs)

    def _get_value(self) -> list[float]:
        step = self.last_step
        if step < self.warmup:
            # A warm-up of 0.5 epochs need not be a whole number of iterations.
            share = min(step / max(self.warmup - self.warmup_endpoint, 1), 1)
            return [base * (self.start + (1 - self.start) * share) for base in self.base_values]
        factor = (1 + math.cos(math.pi * (step - self.warmup) / (self.end - self.begin - self.warmup))) / 2
        return [self.eta_min + (base - self.eta_min) * factor for base in self.base_values]
