"""Teachers: a moving average of the student, the student before training, or another frozen network."""

from .ema import EMATeacher
from .frozen import FrozenViT
from .initial import InitialTeacher

__all__ = ['EMATeacher', 'FrozenViT', 'InitialTeacher']
