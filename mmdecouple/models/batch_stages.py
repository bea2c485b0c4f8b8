"""Batch stages over the cut masks: made on the device, for the whole batch, in the training step."""
import torch

from mmdecouple.masks import build_mask
from mmdecouple.registry import MODELS

from .cells import enlarge, mask_grid


@MODELS.register_module()
class CutViews:
    """Cut the student's views by masks: the mask as an augmentation alone, without a de-coupling branch.

    Turns a method into its "-RCC" variant (Table 6 of the paper).

    Args:
        mask: Config of a mask sampler of `mmdecouple.masks`, for example
            `dict(type='RegionCollaborativeCutout', cut_ratio=(0.3, 0.5))`.
        views: Indices of the views to cut.
        mask_stride: Pixels of a mask cell; must divide the view.
        fill: Value of cut pixels after normalization (0 is the mean color).
    """

    def __init__(self, mask: dict, views: tuple[int, ...] = (0, ), mask_stride: int = 32,
                 fill: float = 0.) -> None:
        self.mask = build_mask(mask, 'model.data_preprocessor.batch_stages.mask')
        self.views = tuple(views)
        self.mask_stride = mask_stride
        self.fill = fill

    def __call__(self, batch: dict, generator: torch.Generator) -> dict:
        inputs = list(batch['inputs'])
        for index in self.views:
            view = inputs[index]
            size = mask_grid(view.shape[-2:], self.mask_stride, 'CutViews', 'mask_stride')
            cut = self.mask.sample(len(view), size, generator=generator, device=view.device)
            inputs[index] = view.masked_fill(enlarge(cut, view.shape[-2:]), self.fill)
        return {**batch, 'inputs': inputs}
