"""De-coupling for any dense method, as plain PyTorch: what is mixed, where the loss applies, how positions are paired.

Nothing here knows a method, a registry or a data set, and nothing but torch is imported (torchvision's RoIAlign when
regions are pooled). `examples/plain_pytorch.py` shows its use without OpenMMLab.
"""

from .alignments import ALIGNMENTS, DenseObjective
from .branch import DecouplingBranch
from .composition import DecoupledViews
from .positions import PositionSet
from .regions import Regions

__all__ = ['ALIGNMENTS', 'DecoupledViews', 'DecouplingBranch', 'DenseObjective', 'PositionSet', 'Regions']
