"""The part of the source image that two views share, resampled to a common grid."""

import torch
from torch import Tensor
from torchvision.ops import roi_align

from mmdecouple.utils.geometry import map_boxes


def common_window(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the intersection of the crop windows of two views of each image.

    Args:
        first: Geometry of one view as in `mmdecouple.utils.geometry`, (B, 7).
        second: Geometry of the other view, (B, 7).

    Returns:
        Boxes x1, y1, x2, y2 in source pixels, (B, 4), and whether the windows intersect, bool (B,).
    """
    low = torch.maximum(first[:, :2], second[:, :2])
    high = torch.minimum(first[:, :2] + first[:, 2:4], second[:, :2] + second[:, 2:4])
    return torch.cat([low, high], dim=1), (high > low).all(1)


def align(maps: Tensor, windows: Tensor, geometry: Tensor, size: int) -> Tensor:
    """Resamples the part of a map inside a window of the source image by RoIAlign.

    Args:
        maps: Maps of one view of each image, (B, C, h, w).
        windows: Boxes x1, y1, x2, y2 in source pixels, (B, 4).
        geometry: Geometry of the view, (B, 7).
        size: Side of the grid in bins, at least 1.

    Returns:
        Maps on a common grid in the orientation of the source, float32 (B, C, size, size).

    Source: Leopart, arXiv 2204.13101, section 3.1; `MkuuWaUjinga/leopart src/leopart.py` (`spatial_loss`).
    """
    boxes = map_boxes(windows[:, None], geometry, maps.shape[-2:], 'view')[:, 0]
    index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None]
    aligned = roi_align(maps.float(), torch.cat([index, boxes], dim=1), size, aligned=True)
    return torch.where(geometry[:, 4, None, None, None] > 0.5, aligned.flip(3), aligned)
