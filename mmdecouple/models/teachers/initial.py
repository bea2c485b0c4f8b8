"""Frozen teacher that is the student before training."""

from torch import nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.compatibility import leave_out_of_state_dict

from .ema import EMATeacher


@MODELS.register_module()
class InitialTeacher(EMATeacher):
    """A frozen copy of the student's modules, for students that train with `LoRA` only.

    It is not part of checkpoints: after loading, the frozen weights of the student are copied again.

    Args:
        student: Modules to copy by name; they become attributes.
    """

    def __init__(self, student: dict[str, nn.Module]) -> None:
        super().__init__(student, momentum=1.0)
        leave_out_of_state_dict(self)

    def update(self, student: dict[str, nn.Module], iteration: int, max_iterations: int) -> None:
        """Does nothing, as the teacher is frozen."""
