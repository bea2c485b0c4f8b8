"""Weights of visible patches by their distance to the mask."""

import torch
from torch import Tensor


def distance_weights(mask: Tensor) -> Tensor:
    """Returns the weight 1 / sqrt(d) of each visible patch, where d is its distance to the nearest masked patch.

    The weights are scaled so that their mean over the visible patches of a view is 1, as that of equal weights.

    Args:
        mask: Bool (N, h, w), True for masked patches.

    Returns:
        Weights, float32 (N, h * w), with d the Euclidean distance of centers in patches, at least 1; 0 for masked
        patches, and 1 for all patches of a view without a mask.

    Source: V-JEPA 2.1, arXiv 2603.14482 (lambda_i = lambda / sqrt(d_min(i, M))), which does not scale them.
    """
    rows, columns = (torch.arange(side, dtype=torch.float32, device=mask.device) for side in mask.shape[1:])
    centers, masked = torch.cartesian_prod(rows, columns), mask.flatten(1)
    distance = torch.cdist(centers, centers).masked_fill(~masked[:, None], float('inf')).amin(2)
    weight = torch.where(masked.any(1, keepdim=True), distance.rsqrt(), 1.0).masked_fill(masked, 0.0)
    return weight * ((~masked).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-12))
