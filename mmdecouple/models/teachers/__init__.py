"""Teachers: a moving average of the student, or a frozen network."""

from .ema import EMATeacher
from .frozen import FrozenViT

__all__ = ['EMATeacher', 'FrozenViT']
