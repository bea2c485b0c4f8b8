"""Pooling of features in boxes and under soft masks from one dense map, in float32."""

import torch
import torch.nn.functional as F
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
        weights: `(R, H, W)` bool or float at image resolution, not all zero.

    Returns:
        `(R, C)` float32 on the device of `dense`.

    Source: intra-object coupling ratio, ICLR 2024 paper, eq. 4 and appendix B.
    """
    cells = F.adaptive_avg_pool2d(weights.to(device=dense.device, dtype=torch.float32), dense.shape[1:])
    total = torch.einsum('rhw,chw->rc', cells, dense.float())
    return total / cells.sum(dim=(1, 2))[:, None]
