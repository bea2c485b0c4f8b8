from .base import DenseAlgorithm
from .densecl import DenseCL
from .ibot import IBOT
from .maskalign import MaskAlign
from .mocov2 import MoCoV2

__all__ = ['DenseAlgorithm', 'DenseCL', 'IBOT', 'MaskAlign', 'MoCoV2']
