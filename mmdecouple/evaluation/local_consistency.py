"""Maps of local semantic consistency (LSC): how much a feature depends on the rest of the image."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.networks.inference import evaluating
from mmdecouple.utils.errors import UserError

PRECISIONS = ('fp32', 'bf16')
Progress = Callable[[int, int], None]


@torch.no_grad()
def lsc_maps(
    model: nn.Module,
    images: Tensor,
    cell: int,
    window: int = 5,
    *,
    batch_size: int = 64,
    upsample: int | None = None,
    precision: str = 'fp32',
    progress: Progress | None = None,
) -> Tensor:
    """Computes maps of local semantic consistency.

    LSC_ij = cos(mean z(crop_ij), mean_W(i,j) z(image)), where W(i,j) is the window of `window` x `window` cells around
    cell (i, j), clipped to the image, and crop_ij are the pixels of the whole window, reflected at the border of the
    image and shown to the network alone. A value of 1 means that the rest of the image has no effect.

    Args:
        model: Module with `dense_features(images (B, 3, H, W)) -> (B, C, h, w)`, where h = H / cell and w = W / cell.
        images: Normalized images `(B, 3, H, W)` on the model's device; H and W are multiples of `cell`.
        cell: Pixels per dense position.
        window: Side of a window in cells, odd.
        batch_size: Crops per forward pass; does not change the values.
        upsample: Side in pixels to which crops are enlarged (bilinear); None shows them at their own size.
        precision: `fp32`, which excludes TF32, or `bf16` for automatic mixed precision.
        progress: Called with (crops done, total crops).

    Returns:
        Float32 `(B, h, w)` on the CPU, in [-1, 1].

    Raises:
        UserError: The image is smaller than a window or not a multiple of the cell, `window` is even, `precision` is
            unknown, or the network has another cell.

    Source: ICLR 2024 paper, eq. 20 and fig. 14 (512 pixels, 32 x 32 cells, windows of 5 x 5).
    """
    if precision not in PRECISIONS:
        raise UserError(f'LSC: precision must be one of {", ".join(PRECISIONS)}, got {precision!r}.')
    height, width = _cells(images.shape[-2:], cell, window)
    count, margin = len(images) * height * width, window // 2 * cell
    windows = (
        F.pad(images, (margin,) * 4, mode='reflect')
        .unfold(2, window * cell, cell)
        .unfold(3, window * cell, cell)
        .permute(0, 2, 3, 1, 4, 5)
    )
    cosines = []
    with evaluating(model), torch.autocast(images.device.type, torch.bfloat16, enabled=precision == 'bf16'):
        whole = model.dense_features(images).float()
        if whole.shape[-2:] != (height, width):
            raise UserError(
                f'LSC: the network returns a map of {whole.shape[-2]} x {whole.shape[-1]} for an image of '
                f'{height} x {width} cells of {cell} pixels; pass the cell of the network.'
            )
        context = F.avg_pool2d(whole, window, 1, window // 2, count_include_pad=False).permute(0, 2, 3, 1).flatten(0, 2)
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            places = torch.arange(start, stop, device=images.device)
            crops = windows[places // (height * width), places // width % height, places % width]
            if upsample is not None:
                crops = F.interpolate(crops, (upsample, upsample), mode='bilinear', antialias=True)
            alone = model.dense_features(crops).float().mean((2, 3))
            cosines.append(F.cosine_similarity(alone, context[places], dim=1))
            if progress is not None:
                progress(stop, count)
    return torch.cat(cosines).reshape(len(images), height, width).float().clamp(-1, 1).cpu()


def check_window(window: int) -> None:
    """Raises a `UserError` if the number of cells along a window is not odd and positive."""
    if window < 1 or window % 2 == 0:
        raise UserError(f'LSC: window must be an odd number of cells, got {window}.')


def _cells(size: tuple[int, int], cell: int, window: int) -> tuple[int, int]:
    check_window(window)
    if size[0] % cell or size[1] % cell:
        raise UserError(
            f'LSC: an image of {size[0]} x {size[1]} pixels does not divide into cells of {cell} pixels; resize it.'
        )
    if min(size) < window * cell:
        raise UserError(
            f'LSC: an image of {size[0]} x {size[1]} pixels is smaller than a window of {window} x '
            f'{window} cells of {cell} pixels; use larger images or a smaller window.'
        )
    return size[0] // cell, size[1] // cell
