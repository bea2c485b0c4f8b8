"""PaKA: student and teacher have aligned kernels of patch similarities."""

from torch import Tensor

from mmdecouple.decoupling.alignments import ALIGNMENTS
from mmdecouple.models.losses import AlignedKernels, kernel_alignment
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

from .overlap import OverlapAlgorithm
from .step import Step, ViewFlow


@MODELS.register_module()
class PaKA(OverlapAlgorithm):
    """Patch-level kernel alignment on the overlaps of the teacher's view with the student's; see `OverlapAlgorithm`.

    The teacher sees view 0, the student view 1 and the local views. The loss of an overlap is one minus the centered
    kernel alignment (CKA) of the student's and the teacher's features of its bins.

    Args:
        **kwargs: Arguments of `OverlapAlgorithm`.

    Raises:
        SettingError: A value is out of range, or the branch has another alignment than `point_to_point`.

    Source: arXiv 2509.05606; no code is published. In the de-coupled form, the set of positions is the foreground of a
        view. As the kernel is centered, what is added to all of these positions alike does not change the loss.
    """

    flow = ViewFlow(student=(1,), teacher=(0,), shuffle=False, on_geometry=True, returns_map=True)

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        if self.decoupling is not None and self.decoupling.align is not ALIGNMENTS['point_to_point']:
            Settings(self, 'model').refuse(
                'decoupling.alignment',
                "must be 'point_to_point': a kernel compares the positions of a view with each other, so that pairs of "
                'two positions and averages over a view have none',
            )

    def bins_loss(self, student: Tensor, teacher: Tensor, step: Step, key: int) -> Tensor:
        """Returns each bin's share of 1 - CKA, (B, K)."""
        return 1 - kernel_alignment(student, teacher)

    def objective(self, step: Step) -> AlignedKernels:
        """Returns 1 - CKA of the positions of each decoupled view that the loss is computed on."""
        foreground = self.foreground(step)
        return AlignedKernels(foreground.positions, *foreground.mask.shape)
