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
    masked = mask.flatten(1)
    squared = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, float('inf'))
    squared = _nearest(_nearest(squared).transpose(1, 2)).transpose(1, 2).flatten(1)
    weight = torch.where(masked.any(1, keepdim=True), squared**-0.25, 1.0).masked_fill(masked, 0.0)
    return weight * ((~masked).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1e-12))


def _nearest(costs: Tensor) -> Tensor:
    """Returns, of every patch, the smallest sum of a cost (N, h, w) in its row and the squared distance to it."""
    places = torch.arange(costs.shape[2], dtype=torch.float32, device=costs.device)
    return (costs[:, :, None] + (places[:, None] - places).square()).amin(3)
