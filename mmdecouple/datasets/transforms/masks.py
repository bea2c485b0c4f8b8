"""Cut masks as a step of a data pipeline, so that they can be browsed next to the images."""
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmdecouple.datasets.transforms.views import PIPELINE
from mmdecouple.masks import build_mask
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.settings import Settings


@TRANSFORMS.register_module()
class DrawCutMask(BaseTransform):
    """Draws one cut mask a sample and adds it as `cut_mask`.

    In training the masks are made for the whole batch on the device; this step makes the same kind
    of mask for one sample. Its generator is seeded from numpy's global one, which a `SeededDataset`
    sets from run seed, epoch and sample index.

    Args:
        mask: Config of a mask sampler, for example `dict(type='RegionCollaborativeCutout')`.
        size: `(h, w)` of the mask in cells.

    Adds:
        cut_mask: Bool array `(h, w)`, True = cut.

    Raises:
        ValueError: An unknown mask type or setting, a wrong value, or a size below one cell.
    """

    def __init__(self, mask: dict, size: tuple[int, int]) -> None:
        self.size = Settings(self, PIPELINE).numbers('size', size, 2, least=1, whole=True)
        self.mask = build_mask(mask, key='DrawCutMask.mask')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `cut_mask` to the results."""
        generator = torch.Generator().manual_seed(int(np.random.randint(2**31)))
        results['cut_mask'] = self.mask.sample(1, self.size, generator=generator)[0].numpy()
        return results
