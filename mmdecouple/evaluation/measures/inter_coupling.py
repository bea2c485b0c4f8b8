"""Inter-object coupling ratio: how much the feature of object A depends on object B beside it."""

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
    check_positive,
    fewer_note,
    histogram,
    no_candidate,
)
from mmdecouple.evaluation.measures.canvas import blank, cells_inside, remove_cells, shrink_object
from mmdecouple.evaluation.measures.drawing import draw_pairs
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

RATIOS = tuple(step / 10 for step in range(10))
REMOVALS = ('mask', 'shrink', 'token')
ALONE = ('half', 'full')
HISTOGRAM_END = 3.0
_FEW: Any = dict(items='pairs', fewest=50)


def _metrics(reference: str, where: str, ratio: str, clamped: str, pull: str) -> tuple[MetricSpec, ...]:
    key = f'cr_inter_{reference}'

    def spec(ending: str, label: str, statistic: str, **more: Any) -> MetricSpec:
        return MetricSpec(
            f'{key}_{ending}',
            label,
            f'Inter-object coupling ratio (eq. 2, 3), {where}; {statistic} over pairs. 1: the neighbor has no effect.',
            '1',
            unit='ratio of angles',
            **_FEW,
            **more,
        )

    return (
        spec('median', ratio, 'median', headline=reference == 'clean', histogram=key),
        spec('mean', f'{ratio}, mean', 'mean'),
        spec('ratio_of_means', f'{ratio}, ratio of means', 'ratio of means'),
        MetricSpec(
            f'{key}_clamped_share',
            clamped,
            f'Share of the denominators of CR inter that are clamped to the floor, '
            f'{where}. Above a few percent, use the pull instead.',
            percent=True,
            **_FEW,
        ),
        MetricSpec(
            f'{key}_dcos',
            pull,
            f'Pull of the neighbor: increase of the centered cosine of A and B that is due to the presence of B, '
            f'{where}; finite where the ratio is clamped.',
            '0',
            headline=reference == 'masked',
            unit='difference of cosines',
            **_FEW,
        ),
    )


@MEASURES.register_module()
@dataclass
class InterCouplingRatio(Measure):
    """CR = max(pi/2 - theta(z_A2, z_B), eps) / max(pi/2 - theta(z_A1, z_B), eps) of image pairs.

    The canvas has 1 x 2 squares with A on the left and B on the right. z_A2 is A's feature beside B, with a share of A
    removed. z_B is B's feature with a blank left half, and z_A1 is A's feature with a blank right half: with all of A
    (reference `clean`), or with the same share removed (reference `masked`, which excludes the effect of the removal
    itself). A value of 1 means that B does not leak into A. theta is the angle between features pooled by
    RoIAlign 7 x 7.

    The removed shares are 0, 0.1 ... 0.9. The metrics are means over 0.1 ... 0.9 of the mean, the median and the ratio
    of means over pairs. `dcos` is cos(z_A2, z_B) - cos(z_A1, z_B) after subtracting the mean of all clean features: it
    is finite where the denominator of CR is clamped, and 0 means no leak. The order in which cells are removed is drawn
    once per pair, so a larger share removes a superset.

    Intervals resample pairs by image A only. Pairs also share images B, which the intervals ignore, so they are too
    narrow where few images form many pairs.

    Args:
        pairs: Number of ordered pairs of different classes, drawn without replacement.
        min_area: Minimum box area as a share of the image, in [0, 1].
        max_area: Maximum box area as a share of the image, in [0, 1].
        min_side: Minimum box side in pixels of the source image.
        removal: `mask` fills cells of A's box with the mean color; `shrink` scales the content of the box by 1 - share,
            for convolutional networks; `token` replaces cells with the network's mask token, as in masked image
            modeling (fig. 8).
        alone: How A and B are shown alone: `half`, beside a blank half of the canvas, or `full`, as a single square
            with its own position embeddings (`cr_inter_full_*`).
        eps: Floor of the angles in radians, positive.

    Raises:
        UserError: `pairs` or `eps` is not positive, or `removal` or `alone` is unknown.

    Source: ICLR 2024 paper, eq. 2 and 3, appendix B; the masked reference and `dcos` are additions of this package.
    """

    name = 'cr_inter'
    limits = ('pairs',)
    metrics = (
        *_metrics('clean', 'A whole in the reference', 'CR inter', 'clamped', 'pull, clean'),
        *_metrics('masked', 'A masked in the reference too', 'CR inter, masked', 'clamped, masked', 'pull'),
    )
    variants: ClassVar = {
        'cr_inter_shrink': 'A shrunk',
        'cr_inter_token': 'mask token',
        'cr_inter_full': 'full size',
        'cr_inter_shrink_full': 'A shrunk, full size',
        'cr_inter_token_full': 'mask token, full size',
    }

    pairs: int = 2000
    min_area: float = 0.05
    max_area: float = 0.6
    min_side: float = 64
    removal: str = 'mask'
    alone: str = 'half'
    eps: float = 1e-2

    def __post_init__(self) -> None:
        check_positive(self, pairs=self.pairs, eps=self.eps)
        if self.removal not in REMOVALS:
            raise UserError(f'InterCouplingRatio: removal must be one of {", ".join(REMOVALS)}, got {self.removal!r}.')
        if self.alone not in ALONE:
            raise UserError(f'InterCouplingRatio: alone must be one of {", ".join(ALONE)}, got {self.alone!r}.')
        chosen = (self.removal, 'mask'), (self.alone, 'half')
        self.name = '_'.join([self.name, *(value for value, default in chosen if value != default)])

    @classmethod
    def scene_settings(cls, side: int) -> dict[str, Any]:
        """See `Measure`; scenes are small."""
        return dict(pairs=300, min_side=side / 5)

    def shown_sizes(self, size: int, cell: int) -> tuple[tuple[int, int], ...]:
        """See `Measure`; two objects are shown side by side."""
        return ((size, 2 * size), (size, size))[: 2 if self.alone == 'full' else 1]

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        source = sources.singles
        images, labels, counts = [], [], set()
        for image in source.images:
            info = source.info(image)
            counts.add(len(info['ids']))
            if len(info['ids']) != 1:
                continue
            width, height = info['boxes'][0][2:] - info['boxes'][0][:2]
            share = width * height / (info['width'] * info['height'])
            if self.min_area <= share <= self.max_area and min(width, height) >= self.min_side:
                images.append(image)
                labels.append(int(info['labels'][0]))
        chosen = draw_pairs(np.array(labels), self.pairs, rng)
        if max(counts, default=0) > 1 and 1 not in counts:
            return Drawn([], [f'{type(self).__name__}: left out, as no image of {source.name} has exactly one object.'])
        if not chosen:
            raise no_candidate(
                self,
                'two images of different classes, each with exactly one object whose box covers '
                f'{self.min_area} to {self.max_area} of the image with sides of at least '
                f'{self.min_side} px '
                f'(min_area, max_area, min_side; {len(images)} images pass)',
                source.name,
            )
        draws = []
        for a, b in chosen:
            cells = cells_inside(source.boxes(images[a])[0], sources.size, sources.cell)
            draws.append(
                dict(
                    a=images[a],
                    a_object=int(source.info(images[a])['ids'][0]),
                    b=images[b],
                    b_object=int(source.info(images[b])['ids'][0]),
                    cells=rng.permutation(cells).tolist(),
                )
            )
        return Drawn(draws, fewer_note(self, len(draws), self.pairs, 'pairs'))

    def references(self, draw: dict) -> list[Reference]:
        return [
            Reference('singles', draw['a'], (draw['a_object'],)),
            Reference('singles', draw['b'], (draw['b_object'],)),
        ]

    def probes(self, draw: dict) -> list[Hashable]:
        return ['b', *(('a', r) for r in RATIOS), *(('ab', r) for r in RATIOS)]

    def render(self, draw: dict, probe: Any, sources: Sources) -> Probe:
        source, size = sources.singles, sources.size
        canvas, left = blank(size, 2 * size), 0 if self.alone == 'full' else size
        if probe == 'b':
            canvas[:, left : left + size] = source.pixels(draw['b'])
            canvas = canvas[:, : left + size]
            return Probe(
                canvas, boxes=source.chosen(draw['b'], [draw['b_object']]) + np.array([left, 0] * 2, np.float32)
            )
        kind, ratio = probe
        box = source.chosen(draw['a'], [draw['a_object']])
        image = source.pixels(draw['a'])
        cells = draw['cells'][: round(ratio * len(draw['cells']))]
        masked: np.ndarray | None = None
        if self.removal == 'shrink':
            canvas[:, :size] = shrink_object(image, box[0], 1 - ratio)
        elif self.removal == 'mask':
            canvas[:, :size] = remove_cells(image, cells, sources.cell)
        else:
            canvas[:, :size] = image
            grid = size // sources.cell
            masked = np.zeros((grid, 2 * grid), bool)
            masked[np.unravel_index(np.array(cells, int), (grid, grid))] = True
        if kind == 'ab':
            canvas[:, size:] = source.pixels(draw['b'])
        elif self.alone == 'full':
            canvas, masked = canvas[:, :size], None if masked is None else masked[:, : masked.shape[1] // 2]
        return Probe(canvas, boxes=box, masked=masked)

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        z = torch.stack([torch.cat(rows) for rows in features]).double()
        count = len(RATIOS)
        b, alone, beside = z[:, :1], z[:, 1 : 1 + count], z[:, 1 + count :]
        groups = np.array([draw['a'] for draw in draws])
        center = torch.cat([b[:, 0], alone[:, 0]]).mean(0)
        out = Score()
        numerator, _ = self._closeness(beside, b)
        cos_beside = F.cosine_similarity(beside - center, b - center, dim=-1).numpy()
        for reference, single in (('clean', alone[:, :1].expand_as(alone)), ('masked', alone)):
            key = f'{self.name}_{reference}'
            denominator, clamped = self._closeness(single, b)
            dcos = cos_beside - F.cosine_similarity(single - center, b - center, dim=-1).numpy()
            self._summarize(out, key, numerator, denominator, groups)
            for name, values in (('clamped_share', clamped), ('dcos', dcos)):
                out.metrics[f'{key}_{name}'] = stats.estimate(stats.mean(values[:, 1:].mean(1)), groups)
            out.values[f'{key}_dcos'] = dcos[:, 1:].mean(1).tolist()
            out.groups[f'{key}_dcos'] = groups.tolist()
        return out

    def _closeness(self, features: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
        angle = F.cosine_similarity(features, b, dim=-1).clamp(-1, 1).arccos()
        raw = (torch.pi / 2 - angle).numpy()
        return np.maximum(raw, self.eps), (raw < self.eps).astype(float)

    def _summarize(
        self, out: Score, key: str, numerator: np.ndarray, denominator: np.ndarray, groups: np.ndarray
    ) -> None:
        ratio = numerator / denominator
        steps = range(1, len(RATIOS))
        parts_of = dict(
            mean=[stats.mean(ratio[:, r]) for r in steps],
            median=[stats.median(ratio[:, r]) for r in steps],
            ratio_of_means=[stats.ratio_of_means(numerator[:, r], denominator[:, r]) for r in steps],
        )
        for name, parts in parts_of.items():
            out.metrics[f'{key}_{name}'] = stats.estimate(stats.average(parts), groups)
        out.curves[key] = dict(
            ratio=list(RATIOS),
            mean=ratio.mean(0).tolist(),
            median=np.median(ratio, axis=0).tolist(),
            ratio_of_means=(numerator.mean(0) / denominator.mean(0)).tolist(),
        )
        out.values[key] = ratio[:, 1:].mean(1).tolist()
        out.groups[key] = groups.tolist()
        out.histograms[key] = histogram(ratio[:, 1:].mean(1), HISTOGRAM_END)
