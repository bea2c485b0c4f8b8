from .alignments import ALIGNMENTS
from .branch import DecouplingBranch
from .composition import DecoupledViews

__all__ = ['ALIGNMENTS', 'DecoupledViews', 'DecouplingBranch']
