"""Box proposals of an image, from a file or random."""

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
    """Adds the boxes of the image from a proposal file.

    The file is read once, when the data set is built; forked loader processes share its memory.

    Args:
        file: Path of the `*.npz` file that `mmdecouple proposals` writes.

    Adds:
        proposals: x1, y1, x2, y2 in source pixels, float32 `(N, 4)`; N may be 0.

    Raises:
        MissingFile: The file does not exist.
        UserError: The file is invalid; during training, an image is not in the file or has another size.
    """

    def __init__(self, file: str) -> None:
        self.file = ProposalFile.open(Settings(self, PIPELINE).text('file', file))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        results['proposals'] = self.file.boxes(results['img_path'], results['ori_shape'])
        return results


@TRANSFORMS.register_module()
class GridProposals(BaseTransform):
    """Adds random boxes, one for each cell of a grid, as the regions of region collaborative cutout.

    Args:
        grid: Grid cells along each side of the image, at least 1.
        area: Smallest and largest area of a box as a fraction of the image, in (0, 1].
        aspect: Smallest and largest width / height, above 0.
        num: Number of boxes, at least 1. For more than grid * grid boxes, several grids are drawn, and random boxes of
            the last one are used.

    Adds:
        proposals: x1, y1, x2, y2 in source pixels, float32 `(num, 4)`.

    Raises:
        SettingError: A value is out of range.
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
