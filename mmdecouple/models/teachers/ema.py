"""The teacher that follows the student by an exponential moving average."""

import math
from copy import deepcopy

import torch
from mmcv.cnn.bricks import DropPath
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings


@MODELS.register_module()
class EMATeacher(nn.Module):
    """A copy of the student's modules: teacher <- m * teacher + (1 - m) * student.

    Only parameters are averaged. Stochastic depth is the student's alone. Batch-norm statistics are the copy's own,
    from its own forward passes, as in MoCo; queues, centers and schedules live outside, so no update can reset them.

    Args:
        student: Named modules to copy, for example `dict(backbone=..., neck=...)`; they become attributes.
        momentum: m in [0, 1], the share that is kept (MoCo's 0.999; mmengine calls 1 - m the momentum).
        end_momentum: If given, m goes from `momentum` to `end_momentum` by a half cosine over the run.

    Raises:
        ValueError: If a momentum is outside [0, 1].

    Source: MoCo eq. 2; the cosine form is BYOL's, used by SoCo and iBOT.
    """

    def __init__(
        self, student: dict[str, nn.Module], momentum: float = 0.999, end_momentum: float | None = None
    ) -> None:
        super().__init__()
        check = Settings(self, 'model.teacher')
        check.number('momentum', momentum, 0, 1)
        check.number('end_momentum', end_momentum, 0, 1, optional=True)
        self.momentum = momentum
        self.end_momentum = momentum if end_momentum is None else end_momentum
        self.names = tuple(student)
        for name, module in student.items():
            self.add_module(name, deepcopy(module).requires_grad_(False))
        for module in self.modules():
            if isinstance(module, DropPath):
                module.drop_prob = 0.0

    @torch.no_grad()
    def reset(self, student: dict[str, nn.Module]) -> None:
        """Become an exact copy of the student, parameters and buffers."""
        for name in self.names:
            getattr(self, name).load_state_dict(student[name].state_dict())

    @torch.no_grad()
    def update(self, student: dict[str, nn.Module], iteration: int, max_iterations: int) -> None:
        """Move one step towards the student.

        Args:
            student: The modules given at construction, by the same names.
            iteration: Index of the optimizer step just done, from 0.
            max_iterations: Length of the run, in the same unit.
        """
        momentum = self.momentum_at(iteration, max_iterations)
        mine = [p for name in self.names for p in getattr(self, name).parameters()]
        theirs = [p.detach() for name in self.names for p in student[name].parameters()]
        get_ema_multi_avg_fn(momentum)(mine, theirs, None)

    def momentum_at(self, iteration: int, max_iterations: int) -> float:
        """The share kept by the update that follows optimizer step `iteration` (from 0)."""
        progress = (math.cos(math.pi * iteration / max(max_iterations, 1)) + 1) / 2
        return self.end_momentum - (self.end_momentum - self.momentum) * progress
