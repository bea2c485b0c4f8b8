"""Making decoupled views: X^D = X (1 - M) + X^B M (the paper's eq. 5)."""

from typing import NamedTuple

import torch
from torch import Tensor

from .cells import enlarge
from .positions import PositionSet


class DecoupledViews(NamedTuple):
    """The decoupled views of one batch.

    Attributes:
        images: X^D, normalized, (D, 3, H, W); None if the student mixes its patch embeddings instead.
        cut_mask: M on the mask grid, bool, True = replaced by background, (D, h, w).
        rows: For each decoupled view, the row of its clean view among the stacked key views, (D,), in [0, V * B).
        partners: The row of the image that gives the background, (D,), never of the same image; equal to `rows` for
            the control X^D = X.
        foreground: Positions of the dense output that the decoupling loss is computed on.
        coverage: Where positions are regions, the share of each bin of a region that M leaves, in [0, 1],
            (D, K, bins, bins); else None.
    """

    images: Tensor | None
    cut_mask: Tensor
    rows: Tensor
    partners: Tensor
    foreground: PositionSet
    coverage: Tensor | None = None


def draw_rows(batch_size: int, num_views: int, per_view: int, generator: torch.Generator) -> Tensor:
    """Choose `per_view` images of each key view, without replacement: rows of the stacked views, (V * per_view,)."""
    return torch.cat(
        [torch.randperm(batch_size, generator=generator)[:per_view] + view * batch_size for view in range(num_views)]
    )


def draw_partners(
    rows: Tensor, batch_size: int, num_views: int, other_view: bool, generator: torch.Generator
) -> Tensor:
    """Another image for each row, by one random cyclic shift of 1 .. B - 1 (no fixed point).

    Args:
        rows: Rows of the stacked views, (D,).
        batch_size: B.
        num_views: V.
        other_view: Whether the partner comes from the next key view instead of the same one.
        generator: Source of the shift.
    """
    shift = torch.randint(1, batch_size, (), generator=generator)
    view = (rows // batch_size + int(other_view)) % num_views
    return view * batch_size + (rows % batch_size + shift) % batch_size


def mix_pixels(key_views: Tensor, rows: Tensor, partners: Tensor, cut_mask: Tensor) -> Tensor:
    """Fill the cut cells of the chosen key views from their partners: X^D, (D, 3, H, W).

    Args:
        key_views: Stacked key views, (V * B, 3, H, W).
        rows: Chosen rows, (D,).
        partners: Row of the background of each, (D,).
        cut_mask: M, (D, h, w) with h dividing H and w dividing W.
    """
    return torch.where(enlarge(cut_mask, key_views.shape[-2:]), key_views[partners], key_views[rows])
