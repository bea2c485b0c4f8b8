"""Binary foreground masks from the attention of a teacher's class token."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur


@torch.no_grad()
def attention_mask(attention: Tensor, mass: float = 0.6, sigma: float = 0.6) -> Tensor:
    """Returns the most attended cells that together hold a fraction `mass` of the attention, without tiny components.

    The attention is blurred (7 x 7), the largest values that make up `mass` of the sum are kept, and 8-connected
    components of at most two cells are removed. A component of one cell has no neighbor, and the two cells of a pair
    have no other neighbor than each other, so that neither connected-component labelling nor the host is involved.

    Args:
        attention: Attention, averaged over heads, (N, h, w).
        mass: Fraction of the attention to keep, in (0, 1].
        sigma: Standard deviation of the blur in cells, above 0.

    Returns:
        Mask of 0 and 1, float32 (N, h, w).

    Source: Leopart section 3.2; `MkuuWaUjinga/leopart experiments/utils.py` (`process_attentions`).
    """
    blurred = gaussian_blur(attention.float(), [7, 7], [sigma, sigma]).flatten(1)
    values, order = blurred.sort(dim=1)
    attended = (values / values.sum(1, keepdim=True)).cumsum(1) > 1 - mass
    mask = torch.zeros_like(blurred).scatter(1, order, attended.float()).view_as(attention)
    neighbors = _neighbors(mask)
    single = mask * (neighbors == 1)
    pair = single * _neighbors(single)
    return mask * (neighbors > 0) - pair


def _neighbors(mask: Tensor) -> Tensor:
    return F.avg_pool2d(mask, 3, stride=1, padding=1, divisor_override=1) - mask
