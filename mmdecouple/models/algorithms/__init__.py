from .base import DenseAlgorithm
from .densecl import DenseCL
from .ibot import IBOT
from .leopart import Leopart
from .maskalign import MaskAlign
from .mocov2 import MoCoV2
from .soco import SoCo
from .soco_fpn import SoCoFPN

__all__ = ['DenseAlgorithm', 'DenseCL', 'IBOT', 'Leopart', 'MaskAlign', 'MoCoV2', 'SoCo', 'SoCoFPN']
