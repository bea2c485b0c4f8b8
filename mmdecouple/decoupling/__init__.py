"""De-coupling for any dense method in plain PyTorch: composition of views, foreground positions and alignments.

This package depends on no method, registry or data set and imports torch alone (and torchvision's RoIAlign, if regions
are pooled). `examples/plain_pytorch.py` shows its use without OpenMMLab.
"""

from .alignments import ALIGNMENTS, DenseObjective
from .branch import DecouplingBranch
from .composition import DecoupledViews
from .positions import PositionSet
from .regions import Regions

__all__ = ['ALIGNMENTS', 'DecoupledViews', 'DecouplingBranch', 'DenseObjective', 'PositionSet', 'Regions']
