"""Pooling of features in boxes and under soft masks from one dense map, in float32."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor
from torchvision.ops import roi_align


def pool_boxes(dense: Tensor, boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Returns the mean of RoIAlign 7 x 7 (aligned, adaptive sampling) of each box.

    Args:
        dense: Dense map `(C, h, w)`.
        boxes: `(R, 4)` x1, y1, x2, y2 in pixels of the image.
        image_size: Size `(H, W)` of the image in pixels; h / H and w / W may differ.

    Returns:
        `(R, C)` float32 on the device of `dense`.

    Source: OKNN and coupling ratios, ICLR 2024 paper, section 5.3 and appendix B.
    """
    scale = boxes.new_tensor([dense.shape[2] / image_size[1], dense.shape[1] / image_size[0]]).repeat(2)
    boxes = (boxes * scale).to(device=dense.device, dtype=torch.float32)
    pooled = roi_align(dense[None].float(), [boxes], output_size=7, sampling_ratio=-1, aligned=True)
    return pooled.mean(dim=(2, 3))


def pool_weights(dense: Tensor, weights: Tensor) -> Tensor:
    """Returns the mean of all cells, weighted by the area average of the weights without a threshold.

    Args:
        dense: Dense map `(C, h, w)`.
        weights: `(R, H, W)` bool or float of the image, at any resolution, not all zero.

    Returns:
        `(R, C)` float32 on the device of `dense`.

    Source: intra-object coupling ratio, ICLR 2024 paper, eq. 4 and appendix B.
    """
    cells = _area_average(weights.to(device=dense.device, dtype=torch.float32), dense.shape[1:])
    total = torch.einsum('rhw,chw->rc', cells, dense.float())
    return total / cells.sum(dim=(1, 2))[:, None]


def _area_average(weights: Tensor, size: Sequence[int]) -> Tensor:
    """Returns the averages of weights (R, H, W) over the cells of a grid (h, w)."""
    if not any(own % cells for own, cells in zip(weights.shape[1:], size)):
        return F.adaptive_avg_pool2d(weights, size)
    rows, columns = (_overlaps(own, cells).to(weights) for own, cells in zip(weights.shape[1:], size))
    return rows @ weights @ columns.T


def _overlaps(count: int, cells: int) -> Tensor:
    """Returns the share of each of `cells` equal cells of a side that each of `count` equal parts covers."""
    places = [torch.arange(parts + 1, dtype=torch.float64) / parts for parts in (cells, count)]
    starts, ends = ([place[part] for place in places] for part in (slice(None, -1), slice(1, None)))
    first, last = torch.maximum(starts[0][:, None], starts[1]), torch.minimum(ends[0][:, None], ends[1])
    return (last - first).clamp(min=0) * cells


def pool_regions(maps: Sequence[Tensor], request: BaseDataElement, image_size: tuple[int, int]) -> list[Tensor]:
    """Returns the features of the regions of one probe, pooled from one dense map or from those of several layers.

    Args:
        maps: Dense maps `(C, h, w)` of the same image, which may differ in size.
        request: `data_samples` of the probe, see `ProbeDataset`.
        image_size: Size `(H, W)` of the image in pixels.

    Returns:
        `(R, C)` float32 for each map, on its device.
    """
    grids: dict[tuple[int, ...], list[int]] = {}
    for place, dense in enumerate(maps):
        grids.setdefault(tuple(dense.shape[1:]), []).append(place)
    found: list[Tensor] = [None] * len(maps)
    for places in grids.values():
        # Channels are pooled independently, so maps of one size are pooled together.
        dense = torch.cat([maps[place] for place in places])
        if 'boxes' in request:
            pooled = pool_boxes(dense, request.boxes.to(dense.device), image_size)
        else:
            pooled = pool_weights(dense, request.weights)
        for place, rows in zip(places, pooled.split([len(maps[place]) for place in places], dim=1)):
            found[place] = rows
    return found
