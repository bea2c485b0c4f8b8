"""Context shift: how far an object's feature moves when everything outside its box is swapped."""
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.registry import MEASURES

from . import bootstrap
from .canvas import boxes_mask, compose
from .measure import (Drawn, Measure, Probe, Reference, Score, check_positive, fewer_note,
                      histogram, no_candidate)
from .oknn import large_enough, other_image


@MEASURES.register_module()
@dataclass
class ContextShift(Measure):
    """Mean of 1 - cos(z - m, z' - m) (`context_shift`) and 1 - cos(z, z') (`context_shift_raw`).

    z is the object's RoIAlign feature in its image, z' in the image whose every pixel outside the
    object's box comes from another one, and m the mean of all z. The raw value depends on the
    spread of the features, so compare it between trained networks only.

    Args:
        objects: query images, each with one random object whose sides are at least one cell.

    Source: an addition of this package, in the spirit of OKNN-D (ICLR 2024 paper section 5.3).
    """

    name = 'context_shift'
    objects: int = 1000

    def __post_init__(self) -> None:
        check_positive(self, objects=self.objects)

    def draw(self, sources: Any, rng: np.random.Generator) -> Drawn:
        draws = []
        for image, obj in one_object_an_image(self, sources, 'query', self.objects, rng):
            draws.append(
                dict(image=image, object=obj, background=other_image(sources.query, image, rng)))
        return Drawn(draws, fewer_note(self, len(draws), self.objects, 'objects'))

    def references(self, draw: dict) -> list[Reference]:
        return [
            Reference('query', draw['image'], (draw['object'], )),
            Reference('query', draw['background'])
        ]

    def probes(self, draw: dict) -> list[str]:
        return ['clean', 'swapped']

    def render(self, draw: dict, probe: str, sources: Any) -> Probe:
        source = sources.query
        image, boxes = source.pixels(draw['image']), source.chosen(draw['image'], [draw['object']])
        if probe == 'swapped':
            image = compose(image, source.pixels(draw['background']),
                            boxes_mask(boxes, sources.size))
        return Probe(image, boxes=boxes)

    def score(
        self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu',
    ) -> Score:
        z = torch.stack([torch.cat(rows) for rows in features]).double()
        center = z[:, 0].mean(0)
        groups = np.array([draw['image'] for draw in draws])
        out = Score()
        zero = torch.zeros_like(center)
        for key, shift in (('context_shift', center), ('context_shift_raw', zero)):
            change = (1 - F.cosine_similarity(z[:, 0] - shift, z[:, 1] - shift, dim=-1)).numpy()
            out.metrics[key] = bootstrap.estimate(bootstrap.mean(change), groups)
            out.values[key], out.groups[key] = change.tolist(), groups.tolist()
            out.histograms[key] = histogram(change)
        return out


def one_object_an_image(
    measure: Measure, sources: Any, role: str, limit: int, rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """(image id, object id) of a random object in each of up to `limit` random images.

    Raises:
        ValueError: no object has both sides of at least one cell.
    """
    source = sources[role]
    found = []
    for i in rng.permutation(len(source.images)):
        image = source.images[i]
        large = np.flatnonzero(large_enough(source.boxes(image), sources.cell))
        if len(large):
            found.append((int(i), image, int(source.info(image)['ids'][rng.choice(large)])))
        if len(found) == limit:
            break
    if not found:
        raise no_candidate(
            measure, f'both sides of a box at least one cell ({sources.cell} px at size '
            f'{sources.size})', source.name)
    return [(image, obj) for _, image, obj in sorted(found)]
