"""Loss functions."""

from .affinity_distillation import affinity_distillation
from .contrastive_registers import (
    clean_contrast,
    clean_or_all,
    correlation_distillation,
    register_absorption,
    register_uniformity,
    sparsity_of,
)
from .info_nce import info_nce
from .kernel_alignment import AlignedKernels, kernel_alignment
from .point_contrast import point_contrast
from .shared_negatives import SharedNegatives, negatives_of
from .sinkhorn import sinkhorn
from .soft_sort import NeighborOrder, SoftSort, is_sorting

__all__ = [
    'AlignedKernels',
    'NeighborOrder',
    'SharedNegatives',
    'SoftSort',
    'affinity_distillation',
    'clean_contrast',
    'clean_or_all',
    'correlation_distillation',
    'info_nce',
    'is_sorting',
    'kernel_alignment',
    'negatives_of',
    'point_contrast',
    'register_absorption',
    'register_uniformity',
    'sinkhorn',
    'sparsity_of',
]
