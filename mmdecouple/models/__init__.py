from .algorithms import DenseAlgorithm, DenseCL, MoCoV2
from .batch_stages import CutViews
from .data_preprocessor import DensePreprocessor
from .decoupling import DecoupledViews, DecouplingBranch
from .layers import NegativeQueue, SplitBN
from .losses import info_nce
from .teachers import EMATeacher

__all__ = ['CutViews', 'DecoupledViews', 'DecouplingBranch', 'DenseAlgorithm', 'DenseCL', 'DensePreprocessor',
           'EMATeacher', 'MoCoV2', 'NegativeQueue', 'SplitBN', 'info_nce']
