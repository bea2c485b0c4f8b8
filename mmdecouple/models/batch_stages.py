"""Batch stages that cut views, applied to a whole batch in the training step."""

from collections.abc import Sequence

import torch

from mmdecouple.decoupling.cells import enlarge, mask_grid
from mmdecouple.masks import build_mask
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

_KEY = 'model.data_preprocessor.batch_stages'


@MODELS.register_module()
class CutViews:
    """Cuts views by masks: the masks as an augmentation alone, without a de-coupling branch.

    This stage turns a method into its "-RCC" variant (Table 6 of the paper).

    Args:
        mask: Config of a mask sampler of `mmdecouple.masks`, for example
            `dict(type='RegionCollaborativeCutout', cut_ratio=(0.3, 0.5))`.
        views: Indices of the views to cut.
        mask_stride: Side of a mask cell in pixels; it must divide the view.
        fill: Value of cut pixels after normalization (0 is the mean color).
        on_regions: Whether masks are drawn on the regions of the samples instead of on a grid.

    Raises:
        SettingError: A value is out of range.
    """

    def __init__(
        self,
        mask: dict,
        views: Sequence[int] = (0,),
        mask_stride: int = 32,
        fill: float = 0.0,
        on_regions: bool = False,
    ) -> None:
        check = Settings(self, _KEY)
        check.number('mask_stride', mask_stride, 1, whole=True)
        check.number('fill', fill)
        check.flag('on_regions', on_regions)
        self.mask = build_mask(mask, f'{_KEY}.mask')
        self.views = check.numbers('views', views, minimum=0, whole=True)
        self.mask_stride = mask_stride
        self.fill = fill
        self.on_regions = on_regions

    def __call__(self, batch: dict, generator: torch.Generator) -> dict:
        inputs = _chosen(self, batch)
        regions = batch['data_samples'].regions('CutViews') if self.on_regions else None
        for index in self.views:
            view, cells = inputs[index], None
            size = mask_grid(view.shape[-2:], self.mask_stride, 'CutViews', 'mask_stride')
            if regions is not None:
                cells = regions[index].boxes * torch.tensor([size[1], size[0]] * 2)
            cut = self.mask.sample(len(view), size, generator=generator, device=view.device, regions=cells)
            inputs[index] = view.masked_fill(enlarge(cut, view.shape[-2:]), self.fill)
        return {**batch, 'inputs': inputs}


@MODELS.register_module()
class CutBoxes:
    """Cutout of SoCo: cuts a square of pixels out of each region, independently of the other regions.

    The area of the square is a random fraction of the area of its box. Its center is uniform in the box, and it may
    extend beyond the box.

    Args:
        views: Indices of the views to cut.
        prob: Probability that a box is cut, in [0, 1].
        area: Smallest and largest area of the square as a fraction of the box, in [0, 1].
        fill: Value of cut pixels after normalization (0 is the mean color).

    Raises:
        SettingError: A value is out of range.

    Source: `hologerry/SoCo contrast/data/transform_ops.py` (`RandomCutoutInBox`). Boxes are those of the flipped view;
        the C4 code of the authors uses their position before the flip.
    """

    def __init__(
        self, views: Sequence[int] = (1,), prob: float = 0.5, area: tuple[float, float] = (0.1, 0.3), fill: float = 0.0
    ) -> None:
        check = Settings(self, _KEY)
        check.number('prob', prob, 0, 1)
        check.number('fill', fill)
        self.views = check.numbers('views', views, minimum=0, whole=True)
        self.prob = prob
        self.area = check.ordered('area', area, minimum=0, maximum=1)
        self.fill = fill

    def __call__(self, batch: dict, generator: torch.Generator) -> dict:
        inputs, regions = _chosen(self, batch), batch['data_samples'].regions('CutBoxes')
        for index in self.views:
            view, boxes = inputs[index], regions[index].boxes
            height, width = view.shape[-2:]
            draws = torch.rand(*boxes.shape[:2], 4, generator=generator)
            low, high = boxes.split(2, dim=2)
            side = (high - low) * torch.tensor([width, height])
            center = (low + draws[..., :2] * (high - low)) * torch.tensor([width, height])
            fraction = self.area[0] + (self.area[1] - self.area[0]) * draws[..., 2]
            half = (fraction * side.prod(2)).sqrt()[..., None] / 2 * (draws[..., 3:] < self.prob)
            start, stop = ((center + sign * half).to(view.device, non_blocking=True) for sign in (-1, 1))
            columns, rows = (torch.arange(length, device=view.device) + 0.5 for length in (width, height))
            across = (columns >= start[..., :1]) & (columns < stop[..., :1])
            down = (rows >= start[..., 1:]) & (rows < stop[..., 1:])
            cut = torch.einsum('bkh,bkw->bhw', down.to(view.dtype), across.to(view.dtype)) > 0
            inputs[index] = view.masked_fill(cut[:, None], self.fill)
        return {**batch, 'inputs': inputs}


def _chosen(stage: CutViews | CutBoxes, batch: dict) -> list[torch.Tensor]:
    """Returns the views of a batch after a check that it contains all views to cut."""
    views = list(batch['inputs'])
    if max(stage.views) >= len(views):
        Settings(stage, _KEY).refuse('views', f'must be below {len(views)}, the views of the batch, got {stage.views}')
    return views
