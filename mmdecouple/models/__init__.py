from .algorithms import IBOT, DenseAlgorithm, DenseCL, MaskAlign, MoCoV2
from .backbones import DenseViT
from .batch_stages import CutViews
from .data_preprocessor import DensePreprocessor
from .decoupling import DecoupledViews, DecouplingBranch
from .layers import Center, NegativeQueue, SplitBN
from .losses import info_nce
from .necks import DINOHead, DynamicAlignment
from .teachers import EMATeacher, FrozenViT

__all__ = ['Center', 'CutViews', 'DINOHead', 'DecoupledViews', 'DecouplingBranch', 'DenseAlgorithm', 'DenseCL',
           'DensePreprocessor', 'DenseViT', 'DynamicAlignment', 'EMATeacher', 'FrozenViT', 'IBOT', 'MaskAlign', 'MoCoV2',
           'NegativeQueue', 'SplitBN', 'info_nce']
