"""Making decoupled views: X^D = X (1 - M) + X^B M (the paper's eq. 5)."""
from typing import NamedTuple

import torch
from torch import Tensor

from ..cells import enlarge


class DecoupledViews(NamedTuple):
    """The decoupled views of one batch.

    Attributes:
        images: X^D, normalized, (D, 3, H, W).
        cut_mask: M on the mask grid, bool, True = replaced by background, (D, h, w).
        rows: For each decoupled view the row of its clean view among the stacked key views, (D,), in [0, V * B).
        partners: The row of the image that gave the background, (D,), never an entry of the same image.
    """
    images: Tensor
    cut_mask: Tensor
    rows: Tensor
    partners: Tensor


def draw_rows(batch_size: int, num_views: int, per_view: int, generator: torch.Generator) -> Tensor:
    """Choose `per_view` images of each key view, without replacement: rows of the stacked views, (V * per_view,)."""
    device = generator.device
    return torch.cat([torch.randperm(batch_size, generator=generator, device=device)[:per_view] + v * batch_size
                      for v in range(num_views)])


def draw_partners(rows: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Another image of the same view for each row, by one random cyclic shift of 1 .. B - 1 (no fixed point)."""
    shift = torch.randint(1, batch_size, (), generator=generator, device=rows.device)
    return rows - rows % batch_size + (rows % batch_size + shift) % batch_size


def compose(key_views: Tensor, rows: Tensor, partners: Tensor, cut_mask: Tensor) -> DecoupledViews:
    """Fill the cut cells of the chosen key views from their partners.

    Args:
        key_views: Stacked key views, (V * B, 3, H, W).
        rows: Chosen rows, (D,).
        partners: Row of the background of each, (D,); equal to `rows` for the control X^D = X.
        cut_mask: M, (D, h, w) with h dividing H and w dividing W.
    """
    cut = enlarge(cut_mask, key_views.shape[-2:])
    return DecoupledViews(torch.where(cut, key_views[partners], key_views[rows]), cut_mask, rows, partners)
