from .alignments import ALIGNMENTS, DenseObjective, Foreground
from .branch import DecouplingBranch
from .composition import DecoupledViews

__all__ = ['ALIGNMENTS', 'DecoupledViews', 'DecouplingBranch', 'DenseObjective', 'Foreground']
