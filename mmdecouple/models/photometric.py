"""Color, blur and solarization of batches of views, on any device, with the pixels of the loader's transforms.

Images are float32 `(N, 3, H, W)` with whole numbers in [0, 255]. Each function repeats the arithmetic of its
counterpart in `mmdecouple.datasets.transforms.photometric`, including the rounding of every intermediate result,
because the hue of a pixel amplifies a difference of one level. All whole numbers are below 2**24 and thus exact in
float32.
"""

import numpy as np
import torch
from torch import Tensor

from mmdecouple.utils.photometry import OPERATIONS

_LUMA = (9798, 19235, 3735)  # ITU-R 601 in units of 2**-15
_WEIGHT_UNITS = 256  # fixed-point weights of a blur have 8 bits


def change_colors(images: Tensor, operations: Tensor) -> Tensor:
    """Applies the photometric operations of each image, in their order.

    Images with the same operation at the same place are changed together. The operations are read on the host, so that
    the step does not wait for the device.

    Args:
        images: Batch of views, uint8 `(B, 3, H, W)`.
        operations: Operations of each view, float64 `(B, S, 2)` on the CPU; see `mmdecouple.utils.photometry`.

    Returns:
        float32 `(B, 3, H, W)` with whole numbers in [0, 255].
    """
    images = images.float()
    for kinds, amounts in zip(operations[..., 0].long().numpy().T, operations[..., 1].numpy().T):
        for kind in np.unique(kinds[kinds > 0]):
            rows = np.flatnonzero(kinds == kind)
            change = _CHANGES[OPERATIONS[kind]]
            if len(rows) == len(images):
                images = change(images, amounts)
            else:
                chosen = _on(images, rows)
                images.index_copy_(0, chosen, change(images.index_select(0, chosen), amounts[rows]))
    return images


def _on(images: Tensor, numbers: np.ndarray) -> Tensor:
    return torch.from_numpy(numbers).to(images.device, non_blocking=True)


def _per_image(images: Tensor, numbers: np.ndarray) -> Tensor:
    return _on(images, numbers.astype(np.float32)).view(-1, 1, 1, 1)


def _brightness(images: Tensor, factors: np.ndarray) -> Tensor:
    return (images * _per_image(images, factors)).clamp_(0, 255).floor_()


def _contrast(images: Tensor, factors: np.ndarray) -> Tensor:
    means = _luma(images).mean((1, 2, 3), dtype=torch.float64).round().long()
    offsets = (np.arange(256) * (1 - factors[:, None])).astype(np.float32)
    offset = _on(images, offsets).gather(1, means[:, None]).view(-1, 1, 1, 1)
    return (images * _per_image(images, factors)).add_(offset).clamp_(0, 255).floor_()


def _saturation(images: Tensor, factors: np.ndarray) -> Tensor:
    # OpenCV multiplies and adds with one rounding; float64 holds the exact sum.
    gray = _luma(images) * _per_image(images, 1 - factors)
    blend = images.double().mul_(_per_image(images, factors).double()).add_(gray)
    return blend.float().round_().clamp_(0, 255)


def _gray(images: Tensor, _: np.ndarray) -> Tensor:
    return _luma(images).repeat(1, 3, 1, 1)


def _luma(images: Tensor) -> Tensor:
    red, green, blue = images.split(1, dim=1)
    total = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
    return total.add_(2**14).mul_(2**-15).floor_()


def _hue(images: Tensor, shifts: np.ndarray) -> Tensor:
    steps = np.round(shifts * 255) % 256
    hue, saturation, value = _to_hsv(images)
    return _from_hsv((hue + _per_image(images, steps)).remainder_(256), saturation, value)


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns hue, saturation and value, each `(N, 1, H, W)`, whole numbers in [0, 255], with OpenCV's fixed point."""
    red, green, blue = images.split(1, dim=1)
    value = images.amax(1, keepdim=True)
    spread = value - images.amin(1, keepdim=True)
    per_value = torch.full_like(value, 255 * 2**12).div_(value.clamp(min=1)).round_()
    saturation = (spread * per_value).add_(2**11).mul_(2**-12).floor_()
    per_spread = torch.full_like(value, 256 * 2**12).div_(spread.clamp(min=1).mul_(6)).round_()
    sector = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * spread, red - green + 4 * spread)
    )
    hue = sector.mul_(per_spread).add_(2**11).mul_(2**-12).floor_()
    return torch.where(hue < 0, hue + 256, hue), saturation, value


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Inverts `_to_hsv`; as in OpenCV, a circle has 255 steps in this direction."""
    angle, value = hue * float(np.float32(6) / np.float32(255)), value * (1 / 255)
    sector = angle.trunc()
    part = angle.sub_(sector)
    chroma = saturation.mul(1 / 255).mul_(value)
    rising = chroma * part
    low, falling, rising = value - chroma, value - rising, value - (chroma - rising)
    first, second, third, fourth, fifth = (sector == number for number in range(1, 6))
    red = torch.where(first, falling, torch.where(second | third, low, torch.where(fourth, rising, value)))
    green = torch.where(first | second, value, torch.where(third, falling, torch.where(fourth | fifth, low, rising)))
    blue = torch.where(third | fourth, value, torch.where(second, rising, torch.where(fifth, falling, low)))
    return torch.cat([red, green, blue], dim=1).mul_(255).round_().clamp_(0, 255)


def _solarize(images: Tensor, thresholds: np.ndarray) -> Tensor:
    return torch.where(_per_image(images, thresholds) > images, images, 255 - images)


def _blur(images: Tensor, sigmas: np.ndarray) -> Tensor:
    weights = _on(images, blur_weights(sigmas).astype(np.float32))
    rows = _weighted_sum(images, weights, 3)
    return _weighted_sum(rows, weights, 2).mul_(1 / _WEIGHT_UNITS**2).add_(0.5).floor_()


def _weighted_sum(images: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Correlates each image with its weights `(N, K)` along an axis; the border is mirrored without repeating it."""
    length, taps = images.shape[dim], weights.shape[1]
    places = torch.arange(-(taps // 2), length + taps // 2).remainder_(max(2 * (length - 1), 1))
    places = torch.minimum(places, (2 * (length - 1) - places).abs()).to(images.device, non_blocking=True)
    wide, total = images.index_select(dim, places), torch.zeros_like(images)
    for tap, weight in enumerate(weights.unbind(1)):
        total.addcmul_(wide.narrow(dim, tap, length), weight.view(-1, 1, 1, 1))
    return total


def blur_weights(sigmas: np.ndarray) -> np.ndarray:
    """Returns the weights of Gaussians in units of 1/256, as OpenCV rounds them for 8-bit images.

    Each weight is rounded together with the error of its outer neighbour, and the center takes the rest, so that the
    sum is 256.

    Args:
        sigmas: Standard deviations in pixels, float64 `(N,)`, above 0.

    Returns:
        Whole numbers, float64 `(N, K)`; K is odd, and narrow Gaussians are centered between zeros.
    """
    radii = np.round(sigmas * 6 + 1).astype(int) // 2
    offsets = np.arange(-radii.max(), radii.max() + 1)
    exact = np.exp(-(offsets**2) / (2 * sigmas[:, None] ** 2)) * (abs(offsets) <= radii[:, None])
    exact *= _WEIGHT_UNITS / exact.sum(1, keepdims=True)
    weights, error = np.zeros_like(exact), np.zeros(len(sigmas))
    for tap in range(radii.max()):
        wanted = exact[:, tap] + error
        weights[:, tap] = weights[:, -1 - tap] = np.round(wanted)
        error = wanted - weights[:, tap]
    weights[:, radii.max()] = _WEIGHT_UNITS - weights.sum(1)
    return weights


_CHANGES = dict(
    brightness=_brightness,
    contrast=_contrast,
    saturation=_saturation,
    hue=_hue,
    gray=_gray,
    blur=_blur,
    solarize=_solarize,
)
