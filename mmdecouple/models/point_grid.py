"""Points of views on a grid that is finer than the map of a network: their regions, draws, features and pairs."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.utils.geometry import view_to_source

_CHUNK_ELEMENTS = 2**23


class RegionPoints(NamedTuple):
    """Points drawn in two views of each image, as flat positions of the grid.

    Attributes:
        query: Points of one region of the first view, (B, n).
        key: Points of the second view, n of the same region followed by those of other regions, (B, m).
        positive: Whether each point of the second view is in the query's region, bool (B, m).
    """

    query: Tensor
    key: Tensor
    positive: Tensor

    def to(self, device: torch.device) -> 'RegionPoints':
        """Returns the points on a device."""
        return RegionPoints(*(part.to(device, non_blocking=True) for part in self))


class PointPairs(NamedTuple):
    """Pairs of points of two views that are close in the source image: rows[y_i, y_j] + columns[x_i, x_j] < 1.

    Crop windows and grids are parallel to the axes of the image. A squared distance is therefore a sum over two axes,
    and the B x N x N distances need not be stored.

    Attributes:
        rows: Squared vertical distances, divided by the squared reach, (B, s, s).
        columns: Squared horizontal distances, divided by the squared reach, (B, s, s).
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def between(cls, first: Tensor, second: Tensor, view: tuple[int, int], side: int, reach: float) -> 'PointPairs':
        """Returns the pairs whose distance is below `reach` times the diagonal of the larger of the two cells.

        Args:
            first: Geometry of the first views, (B, 7).
            second: Geometry of the second views, (B, 7).
            view: Height and width of the views in pixels.
            side: Number of points s along each side of a view.
            reach: Distance in diagonals of a cell, above 0.
        """
        steps = (torch.arange(side, device=first.device) + 0.5) / side
        centers = torch.stack([steps * view[1], steps * view[0]], dim=1)
        own, other = (view_to_source(centers, geometry, view) for geometry in (first, second))
        diagonal = torch.maximum(*(geometry[:, 2:4].norm(dim=1) for geometry in (first, second))) / side
        squared = ((own[:, :, None] - other[:, None]) / (reach * diagonal[:, None, None, None])) ** 2
        return cls(squared[..., 1], squared[..., 0])

    @property
    def num_points(self) -> int:
        """Number of points N = s * s of a view."""
        return self.rows.shape[1] ** 2

    def select(self, part: slice) -> Tensor:
        """Returns 1 for pairs and 0 otherwise, of all points of the first view and c of the second, (B, N, c)."""
        points = torch.arange(self.num_points, device=self.rows.device)[part]
        side = self.rows.shape[1]
        rows = self.rows[:, :, torch.div(points, side, rounding_mode='floor')]
        columns = self.columns[:, :, points % side]
        return (rows[:, :, None] + columns[:, None] < 1).flatten(1, 2).to(self.rows.dtype)

    def second_counts(self) -> Tensor:
        """Returns the number of pairs of each point of the second view, (B, N)."""
        step = max(_CHUNK_ELEMENTS // (len(self.rows) * self.num_points), 1)
        parts = (slice(start, start + step) for start in range(0, self.num_points, step))
        return torch.cat([self.select(part).sum(1) for part in parts], dim=1)


def interpolation(height: int, width: int, side: int, like: Tensor) -> Tensor:
    """Returns the bilinear weights of the positions of a map at each point, (N, P).

    Args:
        height: Number of rows of the map.
        width: Number of columns of the map.
        side: Number of points along each side; points are the centers of side x side equal cells of a view.
        like: Tensor with the device and the data type of the weights.
    """
    single = torch.eye(height * width, device=like.device, dtype=like.dtype).view(1, -1, height, width)
    return F.interpolate(single, (side, side), mode='bilinear', align_corners=False)[0].flatten(1).t()


def at_points(weights: Tensor, dense: Tensor) -> Tensor:
    """Returns features of points: weights (N, P) or (B, N, P), features of positions (B, P, C) -> (B, N, C)."""
    with torch.autocast(dense.device.type, enabled=False):
        return weights @ dense


def region_labels(geometry: Tensor, view: tuple[int, int], side: int, grid: int) -> Tensor:
    """Returns the region of the source image in which each point lies, numbered row by row, int64 (B, N).

    Args:
        geometry: Geometry of the views, (B, 7).
        view: Height and width of the views in pixels.
        side: Number of points along each side of a view; N is its square.
        grid: Number of regions along each side of the source image.
    """
    steps = (torch.arange(side, device=geometry.device) + 0.5) / side
    centers = torch.cartesian_prod(steps * view[0], steps * view[1]).flip(1)
    source = view_to_source(centers, geometry, view) / geometry[:, None, [6, 5]]
    column, row = (source * grid).long().clamp(0, grid - 1).unbind(2)
    return row * grid + column


def draw_points(
    first: Tensor, second: Tensor, count: int, others: int, regions: int, generator: torch.Generator
) -> RegionPoints:
    """Draws points of one region that both views of an image show, and of other regions of the second view.

    One of the common regions is drawn for each image; all draws are with replacement. The points of other regions are
    drawn from each of these regions with the same probability, regardless of its visible area. Without a common region,
    the query's points are drawn from any region of the first view, and no key point is positive. If the second view
    lies inside one region, all of its points are positive.

    Args:
        first: Regions of the points of the first view, int64 (B, N).
        second: Regions of the points of the second view, int64 (B, N).
        count: Number of points n of the region in each view.
        others: Number of points of other regions in the second view.
        regions: Number of regions of an image.
        generator: Source of all draws, on the CPU.
    """
    area = torch.stack([F.one_hot(labels, regions).sum(1).float() for labels in (first, second)])
    common = area.amin(0) > 0
    candidates = torch.where(common.any(1, keepdim=True), common, area[0] > 0).float()
    region = torch.multinomial(candidates, 1, generator=generator)
    query = torch.multinomial((first == region).float(), count, True, generator=generator)
    inside = second == region
    share = torch.where(inside, 0, 1 / area[1].gather(1, second))
    weights = torch.stack([_or_any(inside.float()), _or_any(share)])
    same = torch.multinomial(weights[0], count, True, generator=generator)
    key = torch.cat([same, torch.multinomial(weights[1], others, True, generator=generator)], dim=1) if others else same
    return RegionPoints(query, key, inside.gather(1, key))


def _or_any(weights: Tensor) -> Tensor:
    """Replaces the weights of images whose weights are all 0 by equal weights, (B, N) -> (B, N)."""
    return weights + (weights.sum(1, keepdim=True) == 0)
