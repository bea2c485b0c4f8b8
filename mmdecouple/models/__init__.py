from .algorithms import IBOT, DenseAlgorithm, DenseCL, Leopart, MaskAlign, MoCoV2, SoCo, SoCoFPN
from .backbones import DenseViT
from .batch_stages import CutBoxes, CutViews
from .data_preprocessor import DensePreprocessor
from .decoupling import DecoupledViews, DecouplingBranch
from .layers import Center, NegativeQueue, SplitBN
from .losses import info_nce, sinkhorn
from .necks import DINOHead, DynamicAlignment, PrototypeHead, RegionPyramid
from .teachers import EMATeacher, FrozenViT

__all__ = ['Center', 'CutBoxes', 'CutViews', 'DINOHead', 'DecoupledViews', 'DecouplingBranch', 'DenseAlgorithm',
           'DenseCL', 'DensePreprocessor', 'DenseViT', 'DynamicAlignment', 'EMATeacher', 'FrozenViT', 'IBOT', 'Leopart',
           'MaskAlign', 'MoCoV2', 'NegativeQueue', 'PrototypeHead', 'RegionPyramid', 'SoCo', 'SoCoFPN', 'SplitBN',
           'info_nce', 'sinkhorn']
