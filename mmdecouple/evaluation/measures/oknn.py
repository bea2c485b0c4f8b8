"""Object-level k-NN accuracy on clean images (OKNN) and with swapped surroundings (OKNN-D)."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.measures.base import (
    Drawn,
    Measure,
    Probe,
    Reference,
    Score,
    check_positive,
    fewer_note,
    no_candidate,
)
from mmdecouple.evaluation.measures.canvas import boxes_mask, compose
from mmdecouple.evaluation.measures.drawing import draw_images, large_enough, other_image
from mmdecouple.evaluation.measures.knn import nearest, ranks, votes
from mmdecouple.evaluation.measures.metric_spec import RECOGNITION, MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.registry import MEASURES

SIZE_BINS = {'small': (0, 32**2), 'medium': (32**2, 96**2), 'large': (96**2, np.inf)}


def _accuracies(key: str, label: str, what: str, headline: bool = False) -> tuple[MetricSpec, ...]:
    return tuple(
        MetricSpec(
            f'{key}_{ending}',
            f'{label}{more}',
            f'{what}{how}.',
            'higher',
            True,
            RECOGNITION,
            headline and ending == 'top1',
        )
        for ending, more, how in (
            ('top1', '', ''),
            ('top5', ' top-5', '; among the first five'),
            ('class_mean', ' class mean', '; averaged over classes'),
        )
    )


def _accuracy(key: str, label: str, what: str) -> MetricSpec:
    return MetricSpec(key, label, what, 'higher', True, RECOGNITION)


@MEASURES.register_module()
@dataclass
class OKNN(Measure):
    """Top-1 and top-5 accuracy of a cosine k-NN over the pooled features of annotated objects.

    The bank holds up to `per_image` objects of every bank image, drawn uniformly without replacement among the objects
    whose sides are both at least one cell. The queries are all objects of every query image (`oknn_*`); up to
    `per_image` of them, drawn in the same way, form the matched subset (`oknn_matched_*`). For OKNN-D (`oknn_d_*`),
    everything outside the drawn boxes comes from another image of the split, in bank and queries; `oknn_d_query_top1`
    disturbs the queries only. `oknn_gap` is `oknn_matched_top1` - `oknn_d_top1`. With a single split, neighbors from
    the query's own image are excluded. `oknn_small_top1`, `oknn_medium_top1` and `oknn_large_top1` apply COCO's size
    bins to the box area in source pixels; they are left out where all objects fall into one bin.

    Args:
        per_image: Maximum number of objects drawn per image (N).
        k: Number of neighbors.
        temperature: Temperature of the vote exp(similarity / temperature); None for a majority vote.
        bank_images: Maximum number of bank images; None for all.
        query_images: Maximum number of query images; None for all.

    Raises:
        UserError: A setting is not positive.

    Source: ICLR 2024 paper, section 5.3 and appendix E.3.2; the vote follows iBOT's k-NN.
    """

    name = 'oknn'
    limits = ('bank_images', 'query_images')
    metrics = (
        *_accuracies('oknn', 'OKNN', 'Share of annotated objects whose class a cosine k-NN of features finds', True),
        *_accuracies('oknn_matched', 'OKNN matched', 'OKNN of the objects that OKNN-D scores'),
        *_accuracies(
            'oknn_d',
            'OKNN-D',
            'OKNN after everything outside the drawn boxes was replaced by another image, in bank and queries',
            True,
        ),
        _accuracy(
            'oknn_d_query_top1',
            'OKNN-D, queries only',
            'OKNN-D with disturbed queries and a clean bank, which is closer to a robustness test.',
        ),
        *(
            _accuracy(
                f'oknn_{name}_top1', f'OKNN, {name} objects', f"OKNN of COCO's {name} objects, by the area of the box."
            )
            for name in SIZE_BINS
        ),
        *(
            MetricSpec(
                f'{prefix}_majority',
                f'{label} majority class',
                f'Share of the most frequent class among the objects of {label}: the top-1 of a constant answer.',
                '',
                True,
                RECOGNITION,
            )
            for prefix, label in (('oknn', 'OKNN'), ('oknn_d', 'OKNN-D'))
        ),
        MetricSpec(
            'oknn_bank_per_class',
            'bank objects per class',
            'Number of objects in the bank, divided by the number of their classes.',
            group=RECOGNITION,
            digits=1,
            unit='objects',
        ),
        MetricSpec(
            'oknn_gap',
            'gap',
            'OKNN matched - OKNN-D: share of the accuracy that depends on context.',
            'lower',
            True,
            headline=True,
        ),
    )

    per_image: int = 3
    k: int = 20
    temperature: float | None = 0.07
    bank_images: int | None = None
    query_images: int | None = None

    def __post_init__(self) -> None:
        check_positive(self, per_image=self.per_image, k=self.k)
        if self.temperature is not None:
            check_positive(self, temperature=self.temperature)

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        draws, notes = [], []
        for role, limit in (('bank', self.bank_images), ('query', self.query_images)):
            source = sources[role]
            found = [
                self._draw_image(sources, role, image, rng)
                for image in draw_images(source.images, limit, rng, partial(self._fits, sources, role))
            ]
            found = [draw for draw in found if draw['chosen'] or (role == 'query' and draw['objects'])]
            if not any(draw['chosen'] for draw in found):
                raise no_candidate(
                    self,
                    f'both sides of a box at least one cell ({sources.cell} px at size {sources.size})',
                    source.name,
                )
            draws += found
            notes += fewer_note(self, len(found), limit or 0, f'{role} images')
        return Drawn(draws, notes)

    def _fits(self, sources: Sources, role: str, image: int) -> bool:
        boxes = sources[role].boxes(image)
        return bool(len(boxes) if role == 'query' else large_enough(boxes, sources.cell).any())

    def _draw_image(self, sources: Sources, role: str, image: int, rng: np.random.Generator) -> dict:
        source = sources[role]
        info = source.info(image)
        large = large_enough(source.boxes(image), sources.cell)
        ids = [int(key) for key in info['ids']]
        chosen = [ids[i] for i in rng.permutation(np.flatnonzero(large))[: self.per_image]]
        objects = ids if role == 'query' else chosen
        labels = {int(key): int(label) for key, label in zip(info['ids'], info['labels'])}
        areas = {int(key): float((box[2] - box[0]) * (box[3] - box[1])) for key, box in zip(info['ids'], info['boxes'])}
        return dict(
            role=role,
            image=image,
            objects=objects,
            chosen=chosen,
            background=other_image(source, image, rng),
            labels=[labels[key] for key in objects],
            areas=[areas[key] for key in objects],
            one_split=sources.one_split,
        )

    def references(self, draw: dict) -> list[Reference]:
        return [
            Reference(draw['role'], draw['image'], tuple(draw['objects'])),
            Reference(draw['role'], draw['background']),
        ]

    def probes(self, draw: dict) -> list[str]:
        return ['clean', 'disturbed'] if draw['chosen'] else ['clean']

    def render(self, draw: dict, probe: str, sources: Sources) -> Probe:
        source = sources[draw['role']]
        image = source.pixels(draw['image'])
        if probe == 'clean':
            return Probe(image, boxes=source.chosen(draw['image'], draw['objects']))
        boxes = source.chosen(draw['image'], draw['chosen'])
        inside = boxes_mask(boxes, sources.size)
        return Probe(compose(image, source.pixels(draw['background']), inside), boxes=boxes)

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        tables = {
            role: _Table([(d, f) for d, f in zip(draws, features) if d['role'] == role]) for role in ('bank', 'query')
        }
        bank, query = tables['bank'], tables['query']
        classes = int(max(bank.labels.max(), query.labels.max())) + 1
        same = draws[0]['one_split']

        def hits(bank_rows: Tensor, query_rows: Tensor, index: Tensor) -> tuple[np.ndarray, np.ndarray]:
            similarity, neighbors = nearest(
                query_rows,
                bank_rows,
                self.k,
                device=device,
                query_groups=query.images[index] if same else None,
                bank_groups=bank.images if same else None,
            )
            total = votes(similarity, bank.labels[neighbors], classes, temperature=self.temperature)
            rank = ranks(total, query.labels[index]).numpy()
            return rank < 1, rank < min(5, classes)

        everything = torch.arange(len(query.labels))
        full = hits(bank.clean, query.clean, everything)
        disturbed = hits(bank.disturbed, query.disturbed, query.chosen)
        query_only = hits(bank.clean, query.disturbed, query.chosen)
        chosen = query.chosen.numpy()
        matched = full[0][chosen], full[1][chosen]
        groups, labels = query.images.numpy(), query.labels.numpy()

        out = Score()
        for prefix, (top1, top5), rows in (
            ('oknn', full, slice(None)),
            ('oknn_matched', matched, chosen),
            ('oknn_d', disturbed, chosen),
        ):
            out.metrics[f'{prefix}_top1'] = stats.estimate(stats.mean(top1), groups[rows])
            out.metrics[f'{prefix}_top5'] = stats.estimate(stats.mean(top5), groups[rows])
            out.metrics[f'{prefix}_class_mean'] = stats.estimate(stats.class_mean(top1, labels[rows]), groups[rows])
            out.values[f'{prefix}_top1'] = top1.astype(float).tolist()
            out.groups[f'{prefix}_top1'] = groups[rows].tolist()
        out.metrics['oknn_d_query_top1'] = stats.estimate(stats.mean(query_only[0]), groups[chosen])
        gap = matched[0].astype(float) - disturbed[0]
        out.metrics['oknn_gap'] = stats.estimate(stats.mean(gap), groups[chosen])
        out.values['oknn_gap'], out.groups['oknn_gap'] = gap.tolist(), groups[chosen].tolist()
        for prefix, rows in (('oknn', labels), ('oknn_d', labels[chosen])):
            frequent = rows == np.bincount(rows).argmax()
            out.metrics[f'{prefix}_majority'] = stats.estimate(
                stats.mean(frequent), groups if prefix == 'oknn' else groups[chosen]
            )
        per_class = len(bank.labels) / len(bank.labels.unique())
        out.metrics['oknn_bank_per_class'] = stats.MetricValue(per_class, per_class, per_class, len(bank.labels))
        bins = {name: (query.areas >= low) & (query.areas < high) for name, (low, high) in SIZE_BINS.items()}
        for name, rows in bins.items():
            if rows.any() and not rows.all():
                out.metrics[f'oknn_{name}_top1'] = stats.estimate(stats.mean(full[0][rows]), groups[rows])
        return out


class _Table:
    """Features and labels of one role; `disturbed` holds the same objects as the rows `chosen` of `clean`."""

    def __init__(self, items: list[tuple[dict, list[Tensor]]]) -> None:
        self.clean = torch.cat([rows[0] for _, rows in items])
        self.disturbed = torch.cat([rows[1] for draw, rows in items if draw['chosen']])
        self.labels = torch.tensor([label for draw, _ in items for label in draw['labels']])
        self.images = torch.tensor([draw['image'] for draw, _ in items for _ in draw['objects']])
        self.areas = np.array([area for draw, _ in items for area in draw['areas']])
        chosen, start = [], 0
        for draw, _ in items:
            chosen += [start + draw['objects'].index(key) for key in draw['chosen']]
            start += len(draw['objects'])
        self.chosen = torch.tensor(chosen)
