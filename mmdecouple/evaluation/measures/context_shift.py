"""Context shift: change of an object's feature when everything outside its box is swapped."""

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
)
from mmdecouple.evaluation.measures.canvas import boxes_mask, compose
from mmdecouple.evaluation.measures.drawing import one_object_an_image, other_image
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.registry import MEASURES


@MEASURES.register_module()
@dataclass
class ContextShift(Measure):
    """Mean of 1 - cos(z - m, z' - m) (`context_shift`) and 1 - cos(z, z') (`context_shift_raw`).

    z is the object's RoIAlign feature in its image, z' its feature in an image where all pixels outside the object's
    box come from another image, and m the mean of all z. The raw value depends on the spread of the features, so it is
    comparable between trained networks only. A single item has the raw value only.

    Args:
        objects: Number of query images, with one random object each whose sides are at least one cell.
        of: `objects`, or `regions` for random regions of images without annotations (`context_shift_regions`).

    Raises:
        UserError: `objects` is not positive, or `of` is unknown.

    Source: an addition of this package, following OKNN-D (ICLR 2024 paper, section 5.3).
    """

    name = 'context_shift'
    limits = ('objects',)
    metrics = (
        MetricSpec(
            'context_shift',
            'context shift',
            '1 - centered cosine of the feature of an object or region when everything outside its box is swapped.',
            'lower',
            headline=True,
            histogram='context_shift',
            unit='1 − cosine',
        ),
        MetricSpec(
            'context_shift_raw',
            'context shift, raw',
            'Context shift without centering the features.',
            'lower',
            unit='1 − cosine',
        ),
    )
    variants: ClassVar = {'context_shift_regions': 'regions'}

    objects: int = 1000
    of: str = 'objects'

    def __post_init__(self) -> None:
        check_positive(self, objects=self.objects)
        check_of(self)
        if self.of == 'regions':
            self.name = 'context_shift_regions'

    @classmethod
    def region_settings(cls) -> dict[str, Any]:
        """See `Measure`."""
        return dict(of='regions')

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        draws: list[dict] = []
        for image, obj in one_object_an_image(self, sources, 'query', self.objects, rng):
            draws.append(dict(image=image, object=obj, background=other_image(sources.query, image, rng)))
        notes = fewer_note(self, len(draws), self.objects, self.of)
        if len(draws) == 1:
            notes = [
                *notes,
                f'ContextShift: of one of the {self.of}, only the raw form; the other needs a mean of several.',
            ]
        return Drawn(draws, notes)

    def references(self, draw: dict) -> list[Reference]:
        return [Reference('query', draw['image'], (draw['object'],)), Reference('query', draw['background'])]

    def probes(self, draw: dict) -> list[str]:
        return ['clean', 'swapped']

    def render(self, draw: dict, probe: str, sources: Sources) -> Probe:
        source = sources.query
        image, boxes = source.pixels(draw['image']), source.chosen(draw['image'], [draw['object']])
        if probe == 'swapped':
            image = compose(image, source.pixels(draw['background']), boxes_mask(boxes, sources.size))
        return Probe(image, boxes=boxes)

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        z = torch.stack([torch.cat(rows) for rows in features]).double()
        center = z[:, 0].mean(0)
        groups = np.array([draw['image'] for draw in draws])
        out = Score()
        zero = torch.zeros_like(center)
        centered = [(self.name, center)] if len(z) > 1 else []
        for key, shift in (*centered, (f'{self.name}_raw', zero)):
            change = (1 - F.cosine_similarity(z[:, 0] - shift, z[:, 1] - shift, dim=-1)).numpy()
            out.metrics[key] = stats.estimate(stats.mean(change), groups)
            out.values[key], out.groups[key] = change.tolist(), groups.tolist()
            out.histograms[key] = histogram(change)
        return out
