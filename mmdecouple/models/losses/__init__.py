"""Loss functions."""

from .affinity_distillation import affinity_distillation
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
    'info_nce',
    'is_sorting',
    'kernel_alignment',
    'negatives_of',
    'point_contrast',
    'sinkhorn',
]
