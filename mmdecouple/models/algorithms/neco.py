"""NeCo: student and teacher sort patches of other images in the same order."""

import torch
from torch import Tensor

from mmdecouple.models.losses import NeighborOrder, SoftSort, is_sorting
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .overlap import OverlapAlgorithm
from .step import Step, ViewFlow


@MODELS.register_module()
class NeCo(OverlapAlgorithm):
    """Patch neighbor consistency on the overlaps of two global views with all other views; see `OverlapAlgorithm`.

    Each image has R references, patches of the teacher drawn from the same global view of other images of the batch.
    The student's and the teacher's feature of a bin sort the references by cosine, with a differentiable sort;
    the loss of a bin is the cross-entropy of the two permutation matrices, see `NeighborOrder`.

    Args:
        references: R, at least 2, a number that the sorting network sorts; see `is_sorting`.
        steepness: Steepness of the sort, above 0.
        **kwargs: Arguments of `OverlapAlgorithm`; the neck is a `ProjectionHead`.

    Raises:
        SettingError: A value is out of range.

    Source: arXiv 2408.11054; `vpariza/NeCo src/neco.py`. The de-coupled form compares the foreground of X^D with the
        same positions of the clean view; all positions sort the references of the first image of the batch.
    """

    flow = ViewFlow(
        student=(0, 1), teacher=(0, 1), shuffle=False, linear_in_target=True, on_geometry=True, returns_map=True
    )

    def __init__(self, references: int = 49, steepness: float = 100.0, **kwargs) -> None:
        check = Settings(self, 'model')
        if not is_sorting(check.number('references', references, 2, whole=True)):
            check.refuse(
                'references', f'must be a number that the network sorts, such as 16, 49 or 64, got {references}'
            )
        check.number('steepness', steepness, above=0)
        super().__init__(**kwargs)
        self.references = references
        self.sort = SoftSort(references, steepness)

    def prepare(self, step: Step, generator: torch.Generator) -> Tensor:
        """Draws the references of each key view: indices in the flattened patches of its view, (2, B, R).

        Raises:
            UserError: The batch has one image.
        """
        images, (height, width) = len(step.views[0]), self.dense_size(step.views[0].shape[-2:])
        if images < 2:
            raise UserError(
                'NeCo: a batch of one image contains no other image to take references from; use at least 2 images per '
                'device and drop_last=True (config key train_dataloader.batch_size).'
            )
        size = 2, images, self.references
        image = torch.arange(images)[:, None] + torch.randint(1, images, size, generator=generator)
        patch = torch.randint(height * width, size, generator=generator)
        return (image % images * height * width + patch).to(step.views[0].device, non_blocking=True)

    def bins_loss(self, student: Tensor, teacher: Tensor, step: Step, key: int) -> Tensor:
        """Returns the cross-entropy of the orders of the references, (B, K)."""
        order = self._order(step, key)
        return order.dense_loss(student, order.dense_target(teacher))

    def objective(self, step: Step) -> NeighborOrder:
        """Returns the comparison of orders with the references of the first image."""
        return self._order(step, 0, image=0)

    def _order(self, step: Step, key: int, image: int | slice = slice(None)) -> NeighborOrder:
        patches = step.teacher['dense'].chunk(2)[key].flatten(0, 1)
        return NeighborOrder(patches[step.extras[key, image]], self.sort)
