"""Local semantic consistency: does a place look to a network as it does when all else is cut away?"""
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

from . import bootstrap
from .measure import Drawn, Measure, Probe, Reference, Score, check_positive, fewer_note, histogram
from .measuring import evaluating

PRECISIONS = ('fp32', 'bf16')
CROP_FEATURES = ('patches', 'class_token')
Progress = Callable[[int, int], None]


@torch.no_grad()
def lsc_maps(model: nn.Module, images: Tensor, cell: int, window: int = 5, *, batch_size: int = 64,
             upsample: int | None = None, precision: str = 'fp32', progress: Progress | None = None) -> Tensor:
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
    windows = F.pad(images, (margin, ) * 4, mode='reflect').unfold(2, window * cell, cell).unfold(
        3, window * cell, cell).permute(0, 2, 3, 1, 4, 5)
    cosines = []
    with evaluating(model), torch.autocast(images.device.type, torch.bfloat16, enabled=precision == 'bf16'):
        whole = model.dense_features(images).float()
        if whole.shape[-2:] != (height, width):
            raise UserError(f'LSC: the network gives a map of {whole.shape[-2]} x {whole.shape[-1]} for an image of '
                            f'{height} x {width} cells of {cell} pixels; give the cell of its map.')
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


def _check_window(window: int) -> None:
    if window < 1 or window % 2 == 0:
        raise UserError(f'LSC: window must be an odd number of cells, got {window}.')


def _cells(size: tuple[int, int], cell: int, window: int) -> tuple[int, int]:
    _check_window(window)
    if size[0] % cell or size[1] % cell:
        raise UserError(f'LSC: an image of {size[0]} x {size[1]} pixels has no whole number of cells of {cell} '
                        'pixels; resize it.')
    if min(size) < window * cell:
        raise UserError(f'LSC: an image of {size[0]} x {size[1]} pixels is smaller than a window of {window} x '
                        f'{window} cells of {cell} pixels; take larger images or a smaller window.')
    return size[0] // cell, size[1] // cell


@MEASURES.register_module()
@dataclass
class LSC(Measure):
    """Mean over images of the mean over cells of their LSC map (`lsc_mean`), see :func:`lsc_maps`.

    `lsc_centered_mean` is the same with cos(z - m, z' - m), m the mean of all windows of whole images: a network whose
    features all point one way has an LSC near 1 whatever it looks at.

    Args:
        images: query images drawn.
        window: cells along a side of a window, odd.
        cells: most cells of an image that are compared, drawn at random where it has more (a map of 14 x 14 has 196).
        crop_feature: feature of a crop: `patches`, the mean of its map; `class_token`, for a ViT (`lsc_class_mean`).

    Source: ICLR 2024 paper eq. 20 and fig. 14; the centered form is an addition of this package.
    """

    name = 'lsc'
    images: int = 50
    window: int = 5
    cells: int = 196
    crop_feature: str = 'patches'

    def __post_init__(self) -> None:
        check_positive(self, images=self.images, cells=self.cells)
        _check_window(self.window)
        if self.crop_feature not in CROP_FEATURES:
            raise UserError(f'LSC: crop_feature must be one of {", ".join(CROP_FEATURES)}, got {self.crop_feature!r}.')
        if self.crop_feature == 'class_token':
            self.name = 'lsc_class'

    def draw(self, sources: Any, rng: np.random.Generator) -> Drawn:
        cells, images = sources.size // sources.cell, sources.query.images
        if cells < self.window:
            return Drawn([], [f'LSC: left out, images of {cells} x {cells} cells are smaller than a window of '
                              f'{self.window} x {self.window}.'])
        chosen = sorted(rng.permutation(len(images))[:self.images])
        draws = [dict(image=images[i], cells=cells) for i in chosen]
        for draw in draws if cells**2 > self.cells else []:
            draw['places'] = np.sort(rng.permutation(cells**2)[:self.cells]).tolist()
        return Drawn(draws, fewer_note(self, len(chosen), self.images, 'images'))

    def references(self, draw: dict) -> list[Reference]:
        return [Reference('query', draw['image'])]

    def probes(self, draw: dict) -> list[Hashable]:
        return [None, *self._places(draw)]

    def render(self, draw: dict, probe: Hashable, sources: Any) -> Probe:
        image, cell, reach = sources.query.pixels(draw['image']), sources.cell, self.window // 2
        if probe is None:
            return Probe(image, weights=self._windows(draw, cell))
        row, column = (place * cell for place in divmod(probe, draw['cells']))
        side = self.window * cell
        padded = np.pad(image, ((reach * cell, ) * 2, (reach * cell, ) * 2, (0, 0)), mode='reflect')
        return Probe(padded[row:row + side, column:column + side], weights=np.ones((1, side, side), bool),
                     class_token=self.crop_feature == 'class_token')

    @staticmethod
    def _places(draw: dict) -> list[int]:
        """Compared cells of an image, counted row by row."""
        return draw.get('places', list(range(draw['cells']**2)))

    def _windows(self, draw: dict, cell: int) -> np.ndarray:
        """Bool (places, H, W): the window around each compared cell, clipped to the image."""
        cells = np.arange(draw['cells'])
        near = np.abs(cells[:, None] - cells) <= self.window // 2
        pixels = near.repeat(cell, axis=1)
        rows, columns = np.divmod(self._places(draw), draw['cells'])
        return pixels[rows][:, :, None] & pixels[columns][:, None, :]

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        context = torch.stack([rows[0] for rows in features]).double()
        alone = torch.stack([torch.cat(rows[1:]) for rows in features]).double()
        groups = np.array([draw['image'] for draw in draws])
        center, out = context.mean((0, 1)), Score()
        for key, shift in ((self.name, torch.zeros_like(center)), (f'{self.name}_centered', center)):
            maps = F.cosine_similarity(alone - shift, context - shift, dim=-1).numpy()
            values = maps.mean(1)
            out.metrics[f'{key}_mean'] = bootstrap.estimate(bootstrap.mean(values), groups)
            out.values[f'{key}_mean'], out.groups[f'{key}_mean'] = values.tolist(), groups.tolist()
            out.histograms[key] = histogram(maps.ravel())
        return out
