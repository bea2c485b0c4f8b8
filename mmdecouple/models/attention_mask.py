"""What the class token of a teacher looks at, as a binary foreground mask."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur


@torch.no_grad()
def attention_mask(attention: Tensor, mass: float = 0.6, sigma: float = 0.6) -> Tensor:
    """The most attended cells that hold a share of the attention, without specks of one or two cells.

    Blur (7 x 7), keep the largest values that make up `mass` of the sum, remove 8-connected components of at most two
    cells. A component of one cell has no neighbor; one of two cells is a pair whose only neighbors are each other: no
    labelling is needed, and no host.

    Args:
        attention: Attention, mean over heads, (N, h, w).
        mass: Share of the attention to keep, in (0, 1].
        sigma: Standard deviation of the blur in cells.

    Returns:
        0 or 1, float32, (N, h, w).

    Source: Leopart section 3.2; `MkuuWaUjinga/leopart experiments/utils.py` (`process_attentions`).
    """
    blurred = gaussian_blur(attention.float(), [7, 7], [sigma, sigma]).flatten(1)
    values, order = blurred.sort(dim=1)
    kept = (values / values.sum(1, keepdim=True)).cumsum(1) > 1 - mass
    mask = torch.zeros_like(blurred).scatter(1, order, kept.float()).view_as(attention)
    neighbors = _neighbors(mask)
    single = mask * (neighbors == 1)
    pair = single * _neighbors(single)
    return mask * (neighbors > 0) - pair


def _neighbors(mask: Tensor) -> Tensor:
    return F.avg_pool2d(mask, 3, stride=1, padding=1, divisor_override=1) - mask
