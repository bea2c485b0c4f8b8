"""Further loss terms, which any method can add."""

from .base import LossTerm, LossTerms
from .gram import GramAnchoring

__all__ = ['GramAnchoring', 'LossTerm', 'LossTerms']
