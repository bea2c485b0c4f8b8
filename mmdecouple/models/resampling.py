"""Crops, resizes and mirrors windows of a batch of images of different sizes, on any device.

The pixels are those of `mmdecouple.datasets.resizing.resize`: the anti-aliasing filters, the whole-number weights and
the rounding are those of torch's CPU kernel for uint8 images, which resizes along the rows first.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mmdecouple.utils.recipes import Recipe

_MOST_BITS = 22  # of a weight, as in the kernel; with its sign, a weight has at most 16 bits


class Filter(NamedTuple):
    """Weights of the source pixels of each output position along one axis.

    Attributes:
        first: Index of the first source pixel, int64 `(B, out)`.
        weights: Weights in units of 2**-bits, int32 `(B, out, K)`; 0 beyond the last source pixel.
        bits: Fractional bits, int32 `(B,)`.
    """

    first: Tensor
    weights: Tensor
    bits: Tensor


def cut_views(sources: Tensor, recipes: Tensor) -> list[Tensor]:
    """Creates the views of a batch of images.

    Nothing is read from the device. The largest temporary tensor has as many rows as the tallest window of a view.

    Args:
        sources: Pixels of all images, one row after the other, uint8 `(N, 3)`.
        recipes: Recipe of each view of each image, int64 `(V, B, 10)` on the CPU; see `Recipe`.

    Returns:
        uint8 `(B, 3, H, W)` for each view.
    """
    height, width = recipes[0, :, 0], recipes[0, :, 1]
    starts = (height * width).cumsum(0) - height * width
    return [_cut(sources, starts, Recipe(*recipe.unbind(1))) for recipe in recipes]


def _cut(sources: Tensor, starts: Tensor, recipe: Recipe) -> Tensor:
    device, bicubic = sources.device, bool(recipe.bicubic[0])
    across = axis_filter(recipe.w, int(recipe.out_width[0]), bicubic, device)
    down = axis_filter(recipe.h, int(recipe.out_height[0]), bicubic, device)
    corner, stride, last, mirrored = (
        each.to(device, non_blocking=True)[:, None, None]
        for each in (starts + recipe.y * recipe.width + recipe.x, recipe.width, recipe.h - 1, recipe.mirrored > 0)
    )
    rows = torch.arange(int(recipe.h.max()), device=device)[None, :, None].minimum(last)
    columns = torch.where(mirrored[..., 0], across.first.flip(1), across.first)[:, None]
    weights = torch.where(mirrored, across.weights.flip(1), across.weights)[:, None]
    places = corner + rows * stride + columns
    narrow = _sum(lambda tap: sources[(places + tap).clamp_(max=len(sources) - 1)], weights, across.bits)
    images = torch.arange(len(starts), device=device)[:, None]
    view = _sum(
        lambda tap: narrow[images, (down.first + tap).clamp_(max=narrow.shape[1] - 1)],
        down.weights[:, :, None],
        down.bits,
    )
    return view.permute(0, 3, 1, 2).contiguous()


def _sum(read: Callable[[int], Tensor], weights: Tensor, bits: Tensor) -> Tensor:
    """Returns the rounded sum of the weighted pixels that `read` returns per tap, uint8 `(B, rows, columns, 3)`."""
    bits = bits.view(-1, 1, 1, 1)
    total = 1 << (bits - 1)
    for tap in range(weights.shape[-1]):
        total = total + read(tap) * weights[..., tap, None]
    return (total >> bits).clamp_(0, 255).to(torch.uint8)


def axis_filter(lengths: Tensor, out: int, bicubic: bool, device: torch.device | str) -> Filter:
    """Returns the filters that resize windows along one axis.

    Args:
        lengths: Lengths of the windows in pixels, int64 `(B,)` on the CPU.
        out: Length of the views in pixels.
        bicubic: Whether the filter is bicubic instead of bilinear.
        device: Device of the result.
    """
    reach = 2 if bicubic else 1
    taps = 2 * max(reach, -int(-reach * lengths.max() // out)) + 1
    length = lengths.to(device, non_blocking=True).double()[:, None]
    scale = length / out
    widening = scale.clamp(min=1)
    center = scale * (torch.arange(out, device=device) + 0.5)
    first = (center - reach * widening + 0.5).trunc_().clamp_(min=0)
    count = (center + reach * widening + 0.5).trunc_().minimum(length) - first
    tap = torch.arange(taps, device=device)
    distance = (tap + first[..., None] - center[..., None] + 0.5) * (1 / widening)[..., None]
    exact = (_bicubic if bicubic else _bilinear)(distance.abs()) * (tap < count[..., None])
    exact /= exact.sum(2, keepdim=True)
    units = 2.0 ** torch.arange(1, _MOST_BITS + 1, device=device, dtype=torch.float64)
    bits = ((exact.amax((1, 2))[:, None] * units + 0.5).trunc_() < 2**15).sum(1)
    scaled = exact * 2.0 ** bits.double()[:, None, None]
    weights = (scaled + torch.where(scaled < 0, -0.5, 0.5)).int()
    return Filter(first.long(), weights, bits.int())


def _bilinear(distance: Tensor) -> Tensor:
    return (1 - distance).clamp_(min=0)


def _bicubic(distance: Tensor) -> Tensor:
    """Keys' cubic filter with a = -0.5, as in Pillow."""
    near = ((1.5 * distance - 2.5) * distance) * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * -0.5
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
