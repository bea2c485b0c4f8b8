"""Loss functions."""

from .affinity_distillation import affinity_distillation
from .info_nce import info_nce
from .point_contrast import point_contrast
from .shared_negatives import SharedNegatives, negatives_of
from .sinkhorn import sinkhorn

__all__ = ['SharedNegatives', 'affinity_distillation', 'info_nce', 'negatives_of', 'point_contrast', 'sinkhorn']
