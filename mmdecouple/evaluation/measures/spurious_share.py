"""Spurious share: how many patch features of an image resemble those of foreign content beside it."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmdecouple.decoupling.foreign import foreign_similarity, is_spurious
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
)
from mmdecouple.evaluation.measures.canvas import cells_to_pixels, compose
from mmdecouple.evaluation.measures.drawing import other_image
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

SIDES = ('left', 'right', 'top', 'bottom')


@MEASURES.register_module()
@dataclass
class SpuriousShare(Measure):
    """Share of an image's own cells whose largest cosine with a cell of foreign content reaches a threshold.

    A strip along one side of the image, drawn at random, is replaced by the same strip of another image, in whole
    cells, so that none is mixed. An own cell is spurious if the largest cosine of its feature with the features of the
    strip reaches `threshold` (`spurious_share`); `mmdecouple.decoupling.foreign` is also the filter of UniRefiner.

    Two images can resemble each other without any leak, and features that share one direction all have a high cosine.
    The control (`spurious_share_apart`) is the same share for the same cells, where each of the two images is shown
    whole, so that neither can affect the other. The excess (`spurious_share_excess`) is share minus control of each
    image: 0 for features that do not depend on what is beside them.

    Args:
        images: Number of query images drawn.
        ratio: Width of the strip as a share of the side, in (0, 1), rounded to whole cells.
        threshold: Cosine from which a cell is spurious, in [-1, 1).

    Raises:
        UserError: `images` is not positive, or `ratio` or `threshold` is out of range.

    Source: UniRefiner (arXiv 2605.19622): foreign background beside a crop, ratio 0.35. Its code compares the cosine
        with a fixed threshold or with one for each crop, and its configs use the latter; a share needs the former. The
        place of the strip, the control and the excess are choices of this package.
    """

    name = 'spurious_share'
    of = 'images'
    limits = ('images',)
    standard: ClassVar[bool] = False
    metrics = (
        MetricSpec(
            'spurious_share',
            'spurious share',
            "Share of an image's cells whose feature has a cosine above 0.5 with that of a cell of a foreign strip.",
            'lower',
            percent=True,
            headline=True,
            histogram='spurious_share',
        ),
        MetricSpec(
            'spurious_share_apart',
            'spurious share, apart',
            'Control of the spurious share: the same cells, with both images shown whole and apart.',
            percent=True,
        ),
        MetricSpec(
            'spurious_share_excess',
            'spurious excess',
            'Spurious share minus its control: what is due to the foreign strip. 0: the strip has no effect.',
            '0',
            percent=True,
            headline=True,
        ),
    )

    images: int = 100
    ratio: float = 0.35
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_positive(self, images=self.images)
        if not 0 < self.ratio < 1:
            raise UserError(f'SpuriousShare: ratio must be between 0 and 1, got {self.ratio}.')
        if not -1 <= self.threshold < 1:
            raise UserError(f'SpuriousShare: threshold must be in [-1, 1), got {self.threshold}.')

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        cells, images = sources.size // sources.cell, sources.query.images
        if cells < 2 or len(images) < 2:
            found = f'{len(images)} images of {cells} x {cells} cells'
            return Drawn([], [f'SpuriousShare: left out, {found}; it needs two images and two cells per side.'])
        chosen = sorted(rng.permutation(len(images))[: self.images])
        draws = [
            dict(
                image=images[i],
                background=other_image(sources.query, images[i], rng),
                side=SIDES[int(rng.integers(len(SIDES)))],
                cells=cells,
            )
            for i in chosen
        ]
        return Drawn(draws, fewer_note(self, len(chosen), self.images, 'images'))

    def references(self, draw: dict) -> list[Reference]:
        return [Reference('query', draw['image']), Reference('query', draw['background'])]

    def probes(self, draw: dict) -> list[Hashable]:
        return ['beside', 'alone', 'foreign']

    def render(self, draw: dict, probe: Any, sources: Sources) -> Probe:
        image, foreign = (sources.query.pixels(draw[key]) for key in ('image', 'background'))
        strip, cells = self._strip(draw), draw['cells']
        if probe == 'beside':
            image = compose(foreign, image, cells_to_pixels(strip, sources.cell))
        elif probe == 'foreign':
            image = foreign
        read = dict(beside=np.ones_like(strip), alone=~strip, foreign=strip)[probe]
        return Probe(image, weights=np.eye(cells**2, dtype=bool)[read.ravel()].reshape(-1, cells, cells))

    def _strip(self, draw: dict) -> np.ndarray:
        """Returns bool `(cells, cells)`: the cells of the strip."""
        cells = draw['cells']
        width = min(max(round(self.ratio * cells), 1), cells - 1)
        strip = np.zeros((cells, cells), bool)
        strip[:, :width] = True
        return {'left': strip, 'right': strip[:, ::-1], 'top': strip.T, 'bottom': strip.T[::-1]}[draw['side']]

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        shares = np.empty((2, len(draws)))
        for index, (draw, (beside, alone, foreign)) in enumerate(zip(draws, features)):
            strip = torch.from_numpy(self._strip(draw).ravel())
            shares[0, index] = self._share(beside[~strip], beside[strip])
            shares[1, index] = self._share(alone, foreign)
        groups = np.array([draw['image'] for draw in draws])
        out = Score(histograms={self.name: histogram(shares[0])})
        named = (
            (self.name, shares[0]),
            (f'{self.name}_apart', shares[1]),
            ('spurious_share_excess', shares[0] - shares[1]),
        )
        for key, values in named:
            out.metrics[key] = stats.estimate(stats.mean(values), groups)
            out.values[key], out.groups[key] = values.tolist(), groups.tolist()
        return out

    def _share(self, own: Tensor, foreign: Tensor) -> float:
        """Returns the share of the rows of `own` `(n, C)` that resemble a row of `foreign` `(m, C)`."""
        similarity = foreign_similarity(own.double()[None], foreign.double()[None])
        return is_spurious(similarity, self.threshold).double().mean().item()
