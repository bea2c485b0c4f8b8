"""Point affinity: similarity between the feature at one point and the features at all others."""

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
    """Returns the cosine of the feature at a point with the features at all positions.

    a_ij = <z_p, z_ij> / (|z_p| |z_ij|), on features that are enlarged bilinearly and then normalized; z_p is the
    feature of the enlarged cell that contains the point.

    Args:
        features: Dense features `(B, C, h, w)`.
        points: Points `(B, 2)`, x and y as shares of width and height in [0, 1].
        upsample: Factor by which the map is enlarged, at least 1.

    Returns:
        Float32 `(B, upsample * h, upsample * w)` in [-1, 1].

    Raises:
        UserError: A point lies outside the image, or the number of points differs from that of images.

    Source: ICLR 2024 paper, appendix H.1 (28 x 28 map enlarged to 56 x 56).
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


def check_points(points: Tensor | Sequence) -> None:
    """Checks that points lie inside their image.

    Args:
        points: Points `(..., 2)`, x and y as shares of width and height; may be empty.

    Raises:
        UserError: A coordinate is below 0 or above 1.
    """
    points = torch.as_tensor(points)
    if points.numel() and not (points.min() >= 0 and points.max() <= 1):
        raise UserError(
            'point_affinity: points must be shares of width and height in [0, 1], got '
            f'{points.min().item():.3g} to {points.max().item():.3g}.'
        )


@torch.no_grad()
def affinity_maps(model: torch.nn.Module, images: Tensor, points: Tensor, scale: int = 2) -> Tensor:
    """Returns the affinity maps of a model on images that are enlarged by `scale`.

    Args:
        model: Module with `dense_features(images (B, 3, H, W)) -> (B, C, h, w)`.
        images: Normalized images `(B, 3, H, W)` on the model's device.
        points: Points `(B, 2)`, x and y as shares of width and height in [0, 1].
        scale: Enlargement of the image before the network (224 -> 448 in the paper).

    Returns:
        Float32 `(B, h', w')` on the CPU, in [-1, 1].

    Raises:
        UserError: See `point_affinity`.
    """
    images = functional.interpolate(images, scale_factor=scale, mode='bilinear')
    with evaluating(model):
        features = model.dense_features(images)
    return point_affinity(features, points.to(features.device)).cpu()


def largest_instance_point(item: 'ObjectImage') -> tuple[float, float]:
    """Returns the center of the largest instance as (x, y) shares of width and height in [0, 1].

    The center is the pixel of the mask that is nearest to the centroid of the mask.

    Raises:
        UserError: The image has no instance with a pixel.
    """
    if not item.masks.any():
        raise UserError(f'largest_instance_point: image {item.image_id} has no instance; choose another image.')
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
    """Draws the images with their points above the affinity maps of every model.

    Args:
        images: N arrays `(H, W, 3)`, uint8 RGB.
        points: N points, x and y as shares of width and height.
        maps: Run name -> affinities `(N, h, w)` of the same N points.
        styles: Style of each run, for the titles of the rows.
        scale: `fixed` for [0, 1] in all maps, which makes them comparable; `per_map` for the minimum and maximum of
            each map.

    Returns:
        Figure with one column per image: a row of images, then one row per run.

    Raises:
        UserError: `scale` is unknown.
    """
    if scale not in SCALES:
        raise UserError(f'affinity_figure: unknown scale {scale!r}; known: {", ".join(SCALES)}.')
    limits = (0.0, 1.0) if scale == 'fixed' else None
    return maps_figure(images, maps, styles, 'cosine with the point', limits=limits, points=points)
