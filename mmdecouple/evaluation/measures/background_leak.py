"""Background leak: how well the class of the background can be predicted from an object's feature."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.measures.base import Drawn, Measure, Probe, Reference, Score, check_positive, fewer_note
from mmdecouple.evaluation.measures.drawing import one_object_an_image
from mmdecouple.evaluation.measures.knn import nearest, ranks, votes
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.registry import MEASURES


@MEASURES.register_module()
@dataclass
class BackgroundLeak(Measure):
    """Top-1 accuracy of a cosine k-NN that predicts the class of the background from an object's feature.

    The measure requires labelled backgrounds (the built-in scenes); for other data it is left out with a note. Where
    objects and backgrounds co-occur, features of the object alone score above chance, so only differences between
    networks are meaningful.

    Args:
        bank: Number of bank images, with one random object each.
        queries: Number of query images, with one random object each.
        k: Number of neighbors.
        temperature: Temperature of the vote exp(similarity / temperature); None for a majority vote.

    Raises:
        UserError: A setting is not positive.

    Source: an addition of this package.
    """

    name = 'background_leak'
    limits = ('bank', 'queries')
    metrics = (
        MetricSpec(
            'background_leak',
            'background leak',
            "Accuracy of a k-NN that predicts the background's class from an object feature (scenes only).",
            'lower',
            percent=True,
            headline=True,
        ),
    )

    bank: int = 3000
    queries: int = 1000
    k: int = 20
    temperature: float | None = 0.07

    def __post_init__(self) -> None:
        check_positive(self, bank=self.bank, queries=self.queries, k=self.k)
        if self.temperature is not None:
            check_positive(self, temperature=self.temperature)

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        for role in ('bank', 'query'):
            if sources[role].background(sources[role].images[0]) is None:
                return Drawn(
                    [], [f'BackgroundLeak: left out, as data set {sources[role].name} has no labels of backgrounds.']
                )
        draws, notes = [], []
        for role, limit in (('bank', self.bank), ('query', self.queries)):
            found = one_object_an_image(self, sources, role, limit, rng)
            notes += fewer_note(self, len(found), limit, f'{role} images')
            draws += [
                dict(
                    role=role,
                    image=image,
                    object=obj,
                    label=sources[role].background(image),
                    one_split=sources.one_split,
                )
                for image, obj in found
            ]
        return Drawn(draws, notes)

    def references(self, draw: dict) -> list[Reference]:
        return [Reference(draw['role'], draw['image'], (draw['object'],))]

    def probes(self, draw: dict) -> list[str]:
        return ['clean']

    def render(self, draw: dict, probe: str, sources: Sources) -> Probe:
        source = sources[draw['role']]
        return Probe(source.pixels(draw['image']), boxes=source.chosen(draw['image'], [draw['object']]))

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        rows, labels, images = {}, {}, {}
        for role in ('bank', 'query'):
            own = [i for i, draw in enumerate(draws) if draw['role'] == role]
            rows[role] = torch.cat([features[i][0] for i in own])
            labels[role] = torch.tensor([draws[i]['label'] for i in own])
            images[role] = torch.tensor([draws[i]['image'] for i in own])
        same = draws[0]['one_split']
        similarity, neighbors = nearest(
            rows['query'],
            rows['bank'],
            self.k,
            device=device,
            query_groups=images['query'] if same else None,
            bank_groups=images['bank'] if same else None,
        )
        classes = int(max(labels['bank'].max(), labels['query'].max())) + 1
        total = votes(similarity, labels['bank'][neighbors], classes, temperature=self.temperature)
        hits = (ranks(total, labels['query']) < 1).double().numpy()
        groups = images['query'].numpy()
        return Score(
            metrics={self.name: stats.estimate(stats.mean(hits), groups)},
            values={self.name: hits.tolist()},
            groups={self.name: groups.tolist()},
        )
