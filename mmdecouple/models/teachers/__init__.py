from .ema import EMATeacher

__all__ = ['EMATeacher']
