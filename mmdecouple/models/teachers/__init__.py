from .ema import EMATeacher
from .frozen import FrozenViT

__all__ = ['EMATeacher', 'FrozenViT']
