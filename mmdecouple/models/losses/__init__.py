"""Loss functions."""

from .info_nce import info_nce
from .shared_negatives import SharedNegatives, negatives_of
from .sinkhorn import sinkhorn

__all__ = ['SharedNegatives', 'info_nce', 'negatives_of', 'sinkhorn']
