"""Box proposals of an image: from a file, or random ones that need no preparation."""

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmdecouple.datasets.proposals import ProposalFile
from mmdecouple.datasets.transforms.views import PIPELINE
from mmdecouple.masks.regions import grid_regions
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.settings import Settings


@TRANSFORMS.register_module()
class LoadProposals(BaseTransform):
    """Adds the boxes that a proposal file holds for the image.

    The file is read once, when the data set is built; forked loader processes share it.

    Args:
        file: Path of the ``*.npz`` that ``tools/dataset_tools/selective_search.py`` writes.

    Adds:
        proposals: float32 ``(N, 4)`` x1, y1, x2, y2 in source pixels; N may be 0.

    Raises:
        FileNotFoundError, ValueError: From ``ProposalFile``; in training if an image is not in the file or of another
            size.
    """

    def __init__(self, file: str) -> None:
        self.file = ProposalFile.open(Settings(self, PIPELINE).text('file', file))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        results['proposals'] = self.file.boxes(results['img_path'], results['ori_shape'])
        return results


@TRANSFORMS.register_module()
class GridProposals(BaseTransform):
    """Adds random boxes, one for each cell of a grid: the regions of region collaborative cutout.

    Args:
        grid: Grid cells along each side of the image.
        area: Smallest and largest area of a box as a share of the image.
        aspect: Smallest and largest width / height.
        num: Number of boxes. Beyond grid * grid more grids are drawn; of the last one random boxes are taken.

    Adds:
        proposals: float32 ``(num, 4)`` x1, y1, x2, y2 in source pixels.

    Raises:
        ValueError: A setting out of range.
    """

    def __init__(
        self,
        grid: int = 3,
        area: tuple[float, float] = (0.15, 0.4),
        aspect: tuple[float, float] = (0.5, 2.0),
        num: int = 9,
    ) -> None:
        check = Settings(self, PIPELINE)
        check.number('grid', grid, 1, whole=True)
        check.number('num', num, 1, whole=True)
        check.ordered('area', area, above=0, maximum=1)
        check.ordered('aspect', aspect, above=0)
        self.rule = dict(grid=grid, area=area, aspect=aspect)
        self.num, self.grids = num, -(-num // grid**2)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        boxes = grid_regions(self.grids, results['ori_shape'], **self.rule, generator=torch.default_generator)
        chosen = [some[torch.randperm(len(some))] for some in boxes]
        results['proposals'] = torch.cat(chosen)[: self.num].numpy().astype(np.float32)
        return results
