"""Teacher that is an exponential moving average of the student."""

import math
from collections.abc import Sequence
from copy import deepcopy

import torch
from mmcv.cnn.bricks import DropPath
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import shown
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class EMATeacher(nn.Module):
    """A copy of the student's modules, updated by teacher <- m * teacher + (1 - m) * student.

    Modules that are not averaged have the student's current parameters. Only parameters are updated. The copy has no
    stochastic depth. Its batch-norm statistics come from its own forward passes, as in MoCo. Queues, centers and
    schedules are not part of it, so that an update cannot reset them.

    Args:
        student: Modules to copy by name, for example `dict(backbone=..., neck=...)`; they become attributes.
        momentum: m, in [0, 1] (0.999 in MoCo; mmengine calls 1 - m the momentum).
        end_momentum: If given, m changes from `momentum` to `end_momentum` by a half cosine over the run, in [0, 1].
        averaged: Names of the modules that are averaged, at least one; None for all. `('neck',)` averages the head only
            (TIPSv2), so that the teacher's backbone is the student's.

    Raises:
        SettingError: A momentum is out of range, or a name is not that of a module.

    Source: MoCo eq. 2; the cosine form is BYOL's, used by SoCo and iBOT; head only: TIPSv2, arXiv 2604.12012.
    """

    def __init__(
        self,
        student: dict[str, nn.Module],
        momentum: float = 0.999,
        end_momentum: float | None = None,
        averaged: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.teacher')
        check.number('momentum', momentum, 0, 1)
        check.number('end_momentum', end_momentum, 0, 1, optional=True)
        self.momentum = momentum
        self.end_momentum = momentum if end_momentum is None else end_momentum
        self.names = tuple(student)
        self.averaged = self.names if averaged is None else averaged
        names = self.averaged if isinstance(self.averaged, (list, tuple)) else ()
        if not names or not all(isinstance(name, str) and name in student for name in names):
            check.refuse('averaged', f'must be a list of names among {", ".join(student)}, got {shown(averaged)}')
        for name, module in student.items():
            self.add_module(name, deepcopy(module).requires_grad_(False))
        for module in self.modules():
            if isinstance(module, DropPath):
                module.drop_prob = 0.0

    @torch.no_grad()
    def reset(self, student: dict[str, nn.Module]) -> None:
        """Copies all parameters and buffers of the student."""
        for name in self.names:
            getattr(self, name).load_state_dict(student[name].state_dict())

    @torch.no_grad()
    def update(self, student: dict[str, nn.Module], iteration: int, max_iterations: int) -> None:
        """Averages the parameters with those of the student, or copies them.

        Args:
            student: The modules given at construction, by the same names.
            iteration: Index of the last optimizer step, from 0.
            max_iterations: Number of optimizer steps of the run.
        """
        momentum = self.momentum_at(iteration, max_iterations)
        average = get_ema_multi_avg_fn(momentum)
        for name in self.names:
            mine, theirs = ([p.detach() for p in owner.parameters()] for owner in (getattr(self, name), student[name]))
            if not mine:
                continue
            if name in self.averaged:
                average(mine, theirs, None)
            else:
                torch._foreach_copy_(mine, theirs)

    def momentum_at(self, iteration: int, max_iterations: int) -> float:
        """Returns m for the update after optimizer step `iteration` (from 0)."""
        progress = (math.cos(math.pi * iteration / max(max_iterations, 1)) + 1) / 2
        return self.end_momentum - (self.end_momentum - self.momentum) * progress
