"""Point affinity: how alike the feature of one point is to the features of all others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from mmdecouple.networks.inference import evaluating
from mmdecouple.utils.errors import UserError

from .maps import maps_figure
from .style import RunStyle

if TYPE_CHECKING:
    from mmdecouple.datasets.objects import ObjectImage

SCALES = ('fixed', 'per_map')


def point_affinity(features: Tensor, points: Tensor, upsample: int = 2) -> Tensor:
    """Return the cosine of the feature at a point with the features everywhere.

    a_ij = <z_p, z_ij> / (|z_p| |z_ij|), on features enlarged bilinearly first and normalized after;
    z_p is the feature of the enlarged cell that holds the point.

    Args:
        features (Tensor): (B, C, h, w) dense features.
        points (Tensor): (B, 2) x, y as shares of width and height, [0, 1].
        upsample (int): Factor by which the map is enlarged, >= 1.

    Returns:
        Tensor: (B, upsample * h, upsample * w) float32, [-1, 1].

    Raises:
        ValueError: A point lies outside the image, or there is not one point an image.

    Source: appendix H.1 of the paper (28 x 28 map enlarged to 56 x 56).
    """
    if points.shape != (len(features), 2):
        raise UserError(
            f'point_affinity: expected points of shape ({len(features)}, 2), one for '
            f'each image, got {tuple(points.shape)}.'
        )
    check_points(points)
    features = functional.interpolate(features.float(), scale_factor=upsample, mode='bilinear')
    features = functional.normalize(features, dim=1)
    height, width = features.shape[-2:]
    columns = (points[:, 0] * width).long().clamp(max=width - 1)
    rows = (points[:, 1] * height).long().clamp(max=height - 1)
    chosen = features[torch.arange(len(features), device=features.device), :, rows, columns]
    return torch.einsum('bc,bchw->bhw', chosen, features)


def check_points(points: Tensor) -> None:
    """Refuse points that lie outside their image.

    Args:
        points (Tensor): (..., 2) x, y as shares of width and height; may hold none.

    Raises:
        ValueError: One is below 0 or above 1.
    """
    if points.numel() and not (points.min() >= 0 and points.max() <= 1):
        raise UserError(
            'point_affinity: points are shares of width and height in [0, 1], got '
            f'{points.min().item():.3g} to {points.max().item():.3g}.'
        )


@torch.no_grad()
def affinity_maps(model: torch.nn.Module, images: Tensor, points: Tensor, scale: int = 2) -> Tensor:
    """Return the affinity maps of a model with `dense_features`, on images enlarged by `scale`.

    Args:
        model (nn.Module): Has `dense_features(images (B, 3, H, W)) -> (B, C, h, w)`.
        images (Tensor): (B, 3, H, W) normalized, on the model's device.
        points (Tensor): (B, 2) x, y as shares of width and height, [0, 1].
        scale (int): Enlargement of the image before the network (224 -> 448 in the paper).

    Returns:
        Tensor: (B, h', w') float32 on the CPU, [-1, 1].
    """
    images = functional.interpolate(images, scale_factor=scale, mode='bilinear')
    with evaluating(model):
        features = model.dense_features(images)
    return point_affinity(features, points.to(features.device)).cpu()


def largest_instance_point(item: 'ObjectImage') -> tuple[float, float]:
    """Return the center of the largest instance as (x, y) shares of width and height, [0, 1].

    The center is the centroid of the mask, or the pixel of the mask that is nearest to it.

    Raises:
        ValueError: The image has no instance, or none with a pixel.
    """
    if not item.masks.any():
        raise UserError(f'largest_instance_point: image {item.image_id} has no instance.')
    mask = item.masks[int(item.masks.reshape(len(item.masks), -1).sum(1).argmax())]
    rows, columns = np.nonzero(mask)
    distance = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
    nearest = int(distance.argmin())
    height, width = mask.shape
    return (columns[nearest] + 0.5) / width, (rows[nearest] + 0.5) / height


def affinity_figure(
    images: Sequence[np.ndarray],
    points: Sequence[tuple[float, float]],
    maps: dict[str, np.ndarray],
    styles: dict[str, RunStyle],
    scale: str = 'fixed',
) -> Figure:
    """Return the images with their points beside every model's affinity map.

    Args:
        images (Sequence[np.ndarray]): N arrays (H, W, 3) uint8 RGB.
        points (Sequence[tuple[float, float]]): N points x, y as shares of width and height.
        maps (dict[str, np.ndarray]): Run name -> (N, h, w) affinities of the same N points.
        styles (dict[str, RunStyle]): Color per run, for the column titles.
        scale (str): `fixed` = [0, 1] for all, comparable; `per_map` = each from its min to its max.

    Returns:
        Figure: One column an image; first row the images, then one row a run.

    Raises:
        ValueError: Unknown scale.
    """
    if scale not in SCALES:
        raise UserError(f'affinity_figure: unknown scale {scale!r}; known: {", ".join(SCALES)}.')
    limits = (0.0, 1.0) if scale == 'fixed' else None
    return maps_figure(images, maps, styles, 'cosine with the point', limits=limits, points=points)
