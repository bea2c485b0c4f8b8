"""Loss functions."""

from .affinity_distillation import affinity_distillation
from .info_nce import info_nce
from .point_contrast import point_contrast
from .sinkhorn import sinkhorn

__all__ = ['affinity_distillation', 'info_nce', 'point_contrast', 'sinkhorn']
