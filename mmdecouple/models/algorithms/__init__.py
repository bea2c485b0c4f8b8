"""Self-supervised methods, all derived from `DenseAlgorithm`."""

from .base import DenseAlgorithm
from .densecl import DenseCL
from .ibot import IBOT
from .leopart import Leopart
from .maskalign import MaskAlign
from .mocov2 import MoCoV2
from .neco import NeCo
from .paka import PaKA
from .pixpro import PixPro
from .plrc import PLRC
from .resim import ReSim
from .soco import SoCo
from .soco_fpn import SoCoFPN
from .step import Step, ViewFlow
from .unirefiner import UniRefiner
from .variants import MisalignedDenseCL, MisalignedIBOT

__all__ = [
    'IBOT',
    'PLRC',
    'DenseAlgorithm',
    'DenseCL',
    'Leopart',
    'MaskAlign',
    'MisalignedDenseCL',
    'MisalignedIBOT',
    'MoCoV2',
    'NeCo',
    'PaKA',
    'PixPro',
    'ReSim',
    'SoCo',
    'SoCoFPN',
    'Step',
    'UniRefiner',
    'ViewFlow',
]
