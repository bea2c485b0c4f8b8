"""Maps of local semantic consistency: does a place look to a network as it does when all else is cut away?"""

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
    """Maps of local semantic consistency.

    LSC_ij = cos(mean z(crop_ij), mean_W(i,j) z(image)), where W(i,j) is the window of `window` x `window` cells around
    cell (i, j), clipped to the image, and crop_ij the pixels of the whole window, reflected at the border of the
    image, shown to the network by themselves. 1: the rest of the image changes nothing.

    Args:
        model: Has `dense_features(images (B, 3, H, W)) -> (B, C, h, w)`, here with h = H / cell, w = W / cell.
        images: (B, 3, H, W) normalized, on the model's device; H and W multiples of `cell`.
        cell: Pixels per dense position.
        window: Cells along a side of a window, odd.
        batch_size: Crops at a time; changes no value.
        upsample: Side in pixels to which crops are enlarged (bilinear); None shows them at their own size.
        precision: `fp32` without shortcuts, or `bf16` for automatic mixed precision.
        progress: Called with (crops done, crops in all).

    Returns:
        Tensor: (B, h, w) float32 on the CPU, [-1, 1].

    Raises:
        ValueError: The image is smaller than a window, is no multiple of the cell, or the network has other cells.

    Source: the paper's eq. 20 and fig. 14 (512 pixels, 32 x 32 cells, windows of 5 x 5).
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
                f'LSC: the network gives a map of {whole.shape[-2]} x {whole.shape[-1]} for an image of '
                f'{height} x {width} cells of {cell} pixels; give the cell of its map.'
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
    """Raises ValueError if a window has no cell at its center."""
    if window < 1 or window % 2 == 0:
        raise UserError(f'LSC: window must be an odd number of cells, got {window}.')


def _cells(size: tuple[int, int], cell: int, window: int) -> tuple[int, int]:
    check_window(window)
    if size[0] % cell or size[1] % cell:
        raise UserError(
            f'LSC: an image of {size[0]} x {size[1]} pixels has no whole number of cells of {cell} pixels; resize it.'
        )
    if min(size) < window * cell:
        raise UserError(
            f'LSC: an image of {size[0]} x {size[1]} pixels is smaller than a window of {window} x '
            f'{window} cells of {cell} pixels; take larger images or a smaller window.'
        )
    return size[0] // cell, size[1] // cell
