"""Local semantic consistency: cosine of the features of a window inside its image and cut out of it."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.local_consistency import check_window
from mmdecouple.evaluation.measures.base import (
    Drawn,
    Measure,
    Probe,
    Reference,
    Score,
    check_positive,
    fewer_note,
    histogram,
)
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

CROP_FEATURES = ('patches', 'class_token')


@MEASURES.register_module()
@dataclass
class LSC(Measure):
    """Mean over images of the mean over the cells of their LSC map (`lsc_mean`), see `lsc_maps`.

    `lsc_centered_mean` is the same mean of cos(z - m, z' - m), where m is the mean feature of all windows of whole
    images; a single window has none. Without centering, a network whose features all have nearly the same direction has
    an LSC near 1 on any image.

    Args:
        images: Number of query images drawn.
        window: Side of a window in cells, odd.
        cells: Maximum number of cells compared per image, drawn at random where an image has more (a map of 14 x 14
            has 196).
        crop_feature: Feature of a crop: `patches` for the mean of its map, `class_token` for the class token of a ViT
            (`lsc_class_mean`).

    Raises:
        UserError: A number is not positive, `window` is even, or `crop_feature` is unknown.

    Source: ICLR 2024 paper, eq. 20 and fig. 14; the centered form is an addition of this package.
    """

    name = 'lsc'
    of = 'images'
    limits = ('images', 'cells')
    metrics = (
        MetricSpec(
            'lsc_mean',
            'LSC',
            'Local semantic consistency (eq. 20): cosine of a window of cells in its image '
            'and cut out of it, mean over windows and images. 1: the rest of the image has no effect.',
            'higher',
            headline=True,
            histogram='lsc',
            unit='cosine',
        ),
        MetricSpec(
            'lsc_centered_mean',
            'LSC, centered',
            'Local semantic consistency without the direction that all windows share.',
            'higher',
            unit='cosine',
        ),
    )
    variants: ClassVar = {'lsc_class': 'class token'}

    images: int = 50
    window: int = 5
    cells: int = 196
    crop_feature: str = 'patches'

    def __post_init__(self) -> None:
        check_positive(self, images=self.images, cells=self.cells)
        check_window(self.window)
        if self.crop_feature not in CROP_FEATURES:
            raise UserError(f'LSC: crop_feature must be one of {", ".join(CROP_FEATURES)}, got {self.crop_feature!r}.')
        if self.crop_feature == 'class_token':
            self.name = 'lsc_class'

    @classmethod
    def scene_settings(cls, side: int) -> dict[str, Any]:
        """See `Measure`; scenes have few cells."""
        return dict(images=24, window=3)

    def shown_sizes(self, size: int, cell: int) -> tuple[tuple[int, int], ...]:
        """See `Measure`; images smaller than a window are left out, so that no crop of them is shown."""
        side = self.window * cell
        return ((size, size), (side, side))[: 2 if side <= size else 1]

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        cells, images = sources.size // sources.cell, sources.query.images
        if cells < self.window:
            return Drawn(
                [],
                [
                    f'LSC: left out, images of {cells} x {cells} cells are smaller than a window of '
                    f'{self.window} x {self.window}.'
                ],
            )
        chosen = sorted(rng.permutation(len(images))[: self.images])
        draws = [dict(image=images[i], cells=cells) for i in chosen]
        for draw in draws if cells**2 > self.cells else []:
            draw['places'] = np.sort(rng.permutation(cells**2)[: self.cells]).tolist()
        notes = fewer_note(self, len(chosen), self.images, 'images')
        if len(chosen) * min(cells**2, self.cells) == 1:
            notes = [*notes, 'LSC: of one window, only the form without centering; the other needs a mean of several.']
        return Drawn(draws, notes)

    def references(self, draw: dict) -> list[Reference]:
        return [Reference('query', draw['image'])]

    def probes(self, draw: dict) -> list[Hashable]:
        return [None, *self._places(draw)]

    def render(self, draw: dict, probe: Hashable, sources: Sources) -> Probe:
        image, cell, reach = sources.query.pixels(draw['image']), sources.cell, self.window // 2
        if probe is None:
            return Probe(image, weights=self._windows(draw, cell))
        row, column = (place * cell for place in divmod(probe, draw['cells']))
        side = self.window * cell
        padded = np.pad(image, ((reach * cell,) * 2, (reach * cell,) * 2, (0, 0)), mode='reflect')
        return Probe(
            padded[row : row + side, column : column + side],
            weights=np.ones((1, side, side), bool),
            class_token=self.crop_feature == 'class_token',
        )

    @staticmethod
    def _places(draw: dict) -> list[int]:
        """Returns the compared cells of an image, numbered row by row."""
        return draw.get('places', list(range(draw['cells'] ** 2)))

    def _windows(self, draw: dict, cell: int) -> np.ndarray:
        """Returns bool `(places, H, W)`: the window around each compared cell, clipped to the image."""
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
        centered = [(f'{self.name}_centered', center)] if context.shape[:2].numel() > 1 else []
        for key, shift in ((self.name, torch.zeros_like(center)), *centered):
            maps = F.cosine_similarity(alone - shift, context - shift, dim=-1).numpy()
            values = maps.mean(1)
            out.metrics[f'{key}_mean'] = stats.estimate(stats.mean(values), groups)
            out.values[f'{key}_mean'], out.groups[f'{key}_mean'] = values.tolist(), groups.tolist()
            out.histograms[key] = histogram(maps.ravel())
        return out
