"""Loss functions."""

from .info_nce import info_nce
from .sinkhorn import sinkhorn

__all__ = ['info_nce', 'sinkhorn']
