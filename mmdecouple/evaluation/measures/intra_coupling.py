"""Intra-object coupling ratio: how much the feature of a part depends on the rest of its object."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.measures.base import (
    Drawn,
    Measure,
    Probe,
    Reference,
    Score,
    check_of,
    check_positive,
    fewer_note,
    histogram,
    no_candidate,
)
from mmdecouple.evaluation.measures.canvas import blank, cells_to_pixels, cells_touched, compose
from mmdecouple.evaluation.measures.drawing import other_image
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import ObjectSource, Sources
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

VARIANTS = ('pixel', 'cell')
STATES = ('alone', 'replaced')


@MEASURES.register_module()
@dataclass
class IntraCouplingRatio(Measure):
    """CR = 1 - cos(z(X^OP), z(X^C)), the mean over objects of the change of a part's feature.

    The part M_op is the intersection of the object's mask and a random quadrant of its box. The rest of the object is
    filled with the mean color in X^OP and with another image in X^C. z is the mean of the dense map, weighted by the
    area average of M_op. `cr_intra_pixel` replaces exactly the rest of the object. `cr_intra_cell` replaces whole cells
    that contain no pixel of the part, so that its value cannot come from mixed cells.

    Args:
        objects: Number of objects drawn.
        min_cells: Minimum area of the object's mask in cells.
        min_part_cells: Minimum area of the part in cells; quadrants are drawn until one is large enough.
        region: Region that is replaced: `rest` for the rest of the object, `all_outside` for everything outside the
            part.
        of: `objects`, or `regions` for random regions of images without annotations, whose mask is their box
            (`cr_intra_regions_*`).

    Raises:
        UserError: A number is not positive, or `region` or `of` is unknown.

    Source: ICLR 2024 paper, eq. 4 and appendix B; the cell-aligned form is an addition of this package.
    """

    name = 'cr_intra'
    limits = ('objects',)
    metrics = (
        MetricSpec(
            'cr_intra_pixel',
            'CR intra',
            'Intra-object coupling ratio (eq. 4): change of the feature of a part of an object or region '
            'when the rest of it is replaced, cut along pixels, so that cells on the border contain both.',
            'lower',
            histogram='cr_intra_pixel',
            unit='1 − cosine',
        ),
        MetricSpec(
            'cr_intra_cell',
            'CR intra, cells',
            'Intra-object coupling ratio, cut along whole cells, so that none is mixed.',
            'lower',
            headline=True,
            histogram='cr_intra_cell',
            unit='1 − cosine',
        ),
    )

    variants: ClassVar = {'cr_intra_regions': 'regions'}

    objects: int = 5000
    min_cells: float = 32
    min_part_cells: float = 4
    region: str = 'rest'
    of: str = 'objects'

    def __post_init__(self) -> None:
        check_positive(self, objects=self.objects, min_cells=self.min_cells, min_part_cells=self.min_part_cells)
        if self.region not in ('rest', 'all_outside'):
            raise UserError(f"IntraCouplingRatio: region must be 'rest' or 'all_outside', got {self.region!r}.")
        check_of(self)
        if self.of == 'regions':
            self.name = 'cr_intra_regions'

    @classmethod
    def scene_settings(cls, side: int) -> dict[str, Any]:
        """See `Measure`; objects of scenes cover few cells."""
        return dict(objects=1000, min_cells=4, min_part_cells=1)

    @classmethod
    def region_settings(cls) -> dict[str, Any]:
        """See `Measure`."""
        return dict(of='regions')

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        source, area = sources.bank, sources.cell**2
        candidates = []
        for image in source.images:
            boxes = source.boxes(image)
            sides = boxes[:, 2:] - boxes[:, :2]
            large = sides[:, 0] * sides[:, 1] >= self.min_cells * area
            candidates += [(image, int(key)) for key in source.info(image)['ids'][large]]
        draws = []
        for i in rng.permutation(len(candidates)):
            image, obj = candidates[i]
            quadrants = rng.permutation(4)
            if source.mask(image, obj).sum() < self.min_cells * area:
                continue
            fitting = [
                int(q) for q in quadrants if self._part(source, image, obj, q).sum() >= self.min_part_cells * area
            ]
            if fitting:
                draws.append(
                    dict(image=image, object=obj, quadrant=fitting[0], background=other_image(source, image, rng))
                )
            if len(draws) == self.objects:
                break
        if not draws:
            raise no_candidate(
                self,
                f'mask of at least {self.min_cells} cells of {sources.cell} px and a quadrant '
                f'of it of at least {self.min_part_cells} (min_cells, min_part_cells)',
                source.name,
            )
        return Drawn(draws, fewer_note(self, len(draws), self.objects, self.of))

    @staticmethod
    def _part(source: ObjectSource, image: int, obj: int, quadrant: int) -> np.ndarray:
        """Returns the mask of the object in a quadrant of its box: 0 and 1 at the top, 2 and 3 below, left to right."""
        mask = source.mask(image, obj)
        x1, y1, x2, y2 = source.chosen(image, [obj])[0]
        column, row = round(float(x1 + x2) / 2), round(float(y1 + y2) / 2)
        part = np.zeros_like(mask)
        rows = slice(row, None) if quadrant >= 2 else slice(0, row)
        columns = slice(column, None) if quadrant % 2 else slice(0, column)
        part[rows, columns] = mask[rows, columns]
        return part

    def references(self, draw: dict) -> list[Reference]:
        return [Reference('bank', draw['image'], (draw['object'],)), Reference('bank', draw['background'])]

    def probes(self, draw: dict) -> list[Hashable]:
        return [(variant, state) for variant in VARIANTS for state in STATES]

    def render(self, draw: dict, probe: Any, sources: Sources) -> Probe:
        variant, state = probe
        source, cell = sources.bank, sources.cell
        part = self._part(source, draw['image'], draw['object'], draw['quadrant'])
        replaced = source.mask(draw['image'], draw['object']) & ~part
        if self.region == 'all_outside':
            replaced = ~part
        if variant == 'cell':
            cells = cells_touched(replaced, cell) & ~cells_touched(part, cell)
            replaced = cells_to_pixels(cells, cell)
        other = blank(sources.size, sources.size) if state == 'alone' else source.pixels(draw['background'])
        return Probe(compose(other, source.pixels(draw['image']), replaced), weights=part[None])

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        z = torch.stack([torch.cat(rows) for rows in features]).double()
        groups = np.array([draw['image'] for draw in draws])
        out = Score()
        for i, variant in enumerate(VARIANTS):
            key = f'{self.name}_{variant}'
            change = (1 - F.cosine_similarity(z[:, 2 * i], z[:, 2 * i + 1], dim=-1)).numpy()
            out.metrics[key] = stats.estimate(stats.mean(change), groups)
            out.histograms[key] = histogram(change)
            out.values[key], out.groups[key] = change.tolist(), groups.tolist()
        return out
