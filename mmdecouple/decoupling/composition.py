"""Composition of decoupled views: X^D = X (1 - M) + X^B M (the paper's eq. 5)."""

from typing import NamedTuple

import torch
from torch import Tensor

from .cells import enlarge
from .positions import PositionSet


class DecoupledViews(NamedTuple):
    """The decoupled views of one batch.

    Attributes:
        images: X^D, normalized, (D, 3, H, W); None if the student mixes patch embeddings instead.
        cut_mask: M on the mask grid, bool (D, h, w), True where a cell is replaced by the background.
        rows: Row of the clean view of each decoupled view among the stacked key views, in [0, V * B), (D,).
        partners: Row of the view that supplies the background, (D,). It never belongs to the same image, except in the
            control X^D = X, where it equals `rows`.
        foreground: Positions of the dense output that the decoupling loss is computed on.
        coverage: If the positions are regions, the fraction of each bin of a region that M leaves uncut, in [0, 1],
            (D, K, bins, bins); None otherwise.
    """

    images: Tensor | None
    cut_mask: Tensor
    rows: Tensor
    partners: Tensor
    foreground: PositionSet
    coverage: Tensor | None = None


def draw_rows(batch_size: int, num_views: int, per_view: int, generator: torch.Generator) -> Tensor:
    """Draws `per_view` images of each key view without replacement, as rows of the stacked views, (V * per_view,)."""
    return torch.cat(
        [torch.randperm(batch_size, generator=generator)[:per_view] + view * batch_size for view in range(num_views)]
    )


def draw_partners(
    rows: Tensor, batch_size: int, num_views: int, other_view: bool, generator: torch.Generator
) -> Tensor:
    """Draws another image for each row by one random cyclic shift of 1 to B - 1 images, which has no fixed point.

    Args:
        rows: Rows of the stacked views, (D,).
        batch_size: Number of images B.
        num_views: Number of key views V.
        other_view: Whether the partner is taken from the next key view instead of the same one.
        generator: Source of the shift.

    Returns:
        Rows of the partners among the stacked views, (D,).
    """
    shift = torch.randint(1, batch_size, (), generator=generator)
    view = (rows // batch_size + int(other_view)) % num_views
    return view * batch_size + (rows % batch_size + shift) % batch_size


def mix_pixels(key_views: Tensor, rows: Tensor, partners: Tensor, cut_mask: Tensor) -> Tensor:
    """Replaces the cut cells of the chosen key views by those of their partners.

    Args:
        key_views: Stacked key views, (V * B, 3, H, W).
        rows: Rows of the chosen views, (D,).
        partners: Rows of their backgrounds, (D,).
        cut_mask: M, bool (D, h, w), where h divides H and w divides W.

    Returns:
        X^D, (D, 3, H, W).
    """
    return torch.where(enlarge(cut_mask, key_views.shape[-2:]), key_views[partners], key_views[rows])
