"""Frozen teacher that is the student before training."""

from torch import nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.compatibility import after_state_dict

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
        after_state_dict(self, _leave_out)

    def update(self, student: dict[str, nn.Module], iteration: int, max_iterations: int) -> None:
        """Does nothing, as the teacher is frozen."""


def _leave_out(module: InitialTeacher, state: dict, prefix: str, _) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]
