from .base import DenseAlgorithm
from .densecl import DenseCL
from .mocov2 import MoCoV2

__all__ = ['DenseAlgorithm', 'DenseCL', 'MoCoV2']
