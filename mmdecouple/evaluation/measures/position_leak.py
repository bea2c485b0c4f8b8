"""Position leak: how well the place of a patch in the image can be read linearly from its feature."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation import stats
from mmdecouple.evaluation.measures.base import Drawn, Measure, Probe, Reference, Score, check_positive, fewer_note
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.evaluation.ridge import fit_ridge
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError


@MEASURES.register_module()
@dataclass
class PositionLeak(Measure):
    """Cross-validated R^2 of a linear regression from the feature of a cell to its place (`position_leak`).

    The images are divided into `folds` parts. For each part, a ridge regression (standardized channels, penalty by the
    error on left-out images) is fitted on the cells of the other images, and predicts row and column of the cells of
    the part. R^2 is 1 - (squared error) / (variance of the places), the mean of row and column: 1 if the
    place can be read exactly, 0 if the mean place is as good, negative if it is worse. Content tells the place too (sky
    is above), so features without a position embedding also have an R^2 above 0: compare networks on the same images.
    The feature of a cell is that of its patch; where cells and patches differ in size, the mean of patches by area.

    Args:
        images: Number of query images drawn.
        cells: Maximum number of cells read per image, drawn at random where an image has more.
        folds: Number of parts of the images, at least 2.

    Raises:
        UserError: A number is not positive, or `folds` is below 2.

    Source: an addition of this package; the linear readout of positions of RASA (Pariza et al., *Franca*, 2025).
    """

    name = 'position_leak'
    of = 'images'
    limits = ('images',)
    metrics = (
        MetricSpec(
            'position_leak',
            'position leak',
            'R^2 of the row and column of a cell, read linearly from its feature, on images not used for the fit.',
            'lower',
            digits=3,
            unit='R²',
        ),
    )

    images: int = 100
    cells: int = 196
    folds: int = 5

    def __post_init__(self) -> None:
        check_positive(self, images=self.images, cells=self.cells)
        if self.folds < 2:
            raise UserError(f'PositionLeak: folds must be at least 2, got {self.folds}.')

    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        side, images = sources.size // sources.cell, sources.query.images
        chosen = sorted(rng.permutation(len(images))[: self.images])
        if len(chosen) < 2 * self.folds or side < 2:
            return Drawn(
                [],
                [
                    f'PositionLeak: left out, at least {2 * self.folds} images and 2 cells per side are needed, got '
                    f'{len(chosen)} and {side}.'
                ],
            )
        draws = [dict(image=images[i], side=side) for i in chosen]
        for draw in draws if side**2 > self.cells else []:
            draw['places'] = np.sort(rng.permutation(side**2)[: self.cells]).tolist()
        return Drawn(draws, fewer_note(self, len(chosen), self.images, 'images'))

    def references(self, draw: dict) -> list[Reference]:
        return [Reference('query', draw['image'])]

    def probes(self, draw: dict) -> list[str]:
        return ['clean']

    def render(self, draw: dict, probe: str, sources: Sources) -> Probe:
        side = draw['side']
        read = np.eye(side**2, dtype=bool)[_places(draw)]
        return Probe(sources.query.pixels(draw['image']), weights=read.reshape(-1, side, side))

    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        read = [rows[0].double().numpy() for rows in features]
        places = [np.stack(np.divmod(_places(draw), draw['side']), 1).astype(np.float64) for draw in draws]
        explained = np.empty(len(draws))
        for fold in range(self.folds):
            mine = np.arange(len(draws)) % self.folds == fold
            ends = np.cumsum([len(read[index]) for index in np.flatnonzero(~mine)])
            images = np.split(np.arange(ends[-1]), ends[:-1])
            line = fit_ridge(_joined(read, ~mine), _joined(places, ~mine), images)
            for index in np.flatnonzero(mine):
                error = np.square(line.predict(read[index]) - places[index]).mean()
                # Variance of row or column over the whole grid.
                explained[index] = 1 - error / ((draws[index]['side'] ** 2 - 1) / 12)
        groups = np.array([draw['image'] for draw in draws])
        value = stats.estimate(stats.mean(explained), groups)
        return Score({self.name: value}, values={self.name: explained.tolist()}, groups={self.name: groups.tolist()})


def _places(draw: dict) -> np.ndarray:
    """Returns the read cells of an image, numbered row by row."""
    return np.array(draw.get('places', range(draw['side'] ** 2)))


def _joined(parts: list[np.ndarray], chosen: np.ndarray) -> np.ndarray:
    return np.concatenate([parts[index] for index in np.flatnonzero(chosen)])
