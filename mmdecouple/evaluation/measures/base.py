"""What a measure is: it draws objects, renders probe images, and scores their features."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation.measures.spec import MetricSpec
from mmdecouple.evaluation.sources import Sources
from mmdecouple.evaluation.stats import MetricValue
from mmdecouple.utils.errors import UserError


class Reference(NamedTuple):
    """Ids that a draw relies on: checked against the data set when a manifest is loaded."""

    source: str
    image: int
    objects: tuple[int, ...] = ()


class Probe(NamedTuple):
    """One image to show to the network and the parts of its dense map to pool.

    Args:
        image: uint8 RGB `(H, W, 3)`.
        boxes: float32 `(R, 4)` x1, y1, x2, y2 in pixels of `image`, pooled by RoIAlign; or None.
        weights: bool `(R, H, W)`, pooled as area-averaged soft weights; or None.
        masked: bool `(h, w)`, cells that the network replaces by its mask token; or None.
        class_token: whether the network's class token is read in place of its map, as a map of one cell.
    """

    image: np.ndarray
    boxes: np.ndarray | None = None
    weights: np.ndarray | None = None
    masked: np.ndarray | None = None
    class_token: bool = False


@dataclass
class Drawn:
    """Draws of one measure (JSON-able dicts) and remarks such as "fewer candidates than asked"."""

    draws: list[dict]
    notes: list[str] = field(default_factory=list)


@dataclass
class Score:
    """Result of one measure.

    Args:
        metrics: numbers with intervals.
        histograms: name -> dict(edges (51,), counts (50,)).
        curves: name -> dict of equally long lists.
        values: name -> one number per scored item, in the order of the manifest.
        groups: name -> the image id behind each of `values`, the unit of resampling.
    """

    metrics: dict[str, MetricValue] = field(default_factory=dict)
    histograms: dict[str, dict[str, list]] = field(default_factory=dict)
    curves: dict[str, dict[str, list]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    groups: dict[str, list[int]] = field(default_factory=dict)


class Measure(ABC):
    """Base of all measures: a draw yields probe images, a probe a feature per region.

    A measure is a dataclass whose fields are its settings. `metrics` is the one place where its metrics are named.

    Attributes:
        name: Of the measure with its present settings; its draws and the keys of its metrics begin with it.
        metrics: Every metric that it gives with its usual settings.
        variants: Name with other settings -> what the labels of the metrics end with then.
        limits: Settings that `--limit` caps: numbers of images, pairs or objects that are drawn.
    """

    name: str
    metrics: ClassVar[tuple[MetricSpec, ...]] = ()
    variants: ClassVar[dict[str, str]] = {}
    limits: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def specs(cls) -> tuple[MetricSpec, ...]:
        """Every metric that it gives with any settings."""
        return cls.metrics + tuple(
            spec.variant(cls.name, other, suffix) for other, suffix in cls.variants.items() for spec in cls.metrics
        )

    @classmethod
    def scene_settings(cls, side: int) -> dict[str, Any]:
        """Settings that differ from the defaults on built-in scenes.

        Args:
            side: Of the scenes, in pixels.
        """
        return {}

    @abstractmethod
    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        """All random choices, made once; everything after it is deterministic."""

    @abstractmethod
    def references(self, draw: dict) -> list[Reference]:
        """Ids that `draw` names."""

    @abstractmethod
    def probes(self, draw: dict) -> Sequence[Hashable]:
        """Labels of the images of `draw`, in the order in which `score` gets their features."""

    @abstractmethod
    def render(self, draw: dict, probe: Any, sources: Sources) -> Probe:
        """The image of one label and what to pool from it."""

    @abstractmethod
    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        """Numbers of the measure.

        Args:
            draws: as returned by `draw`.
            features: per draw, per probe, float32 `(R, C)` on CPU: one row for each pooled region.
            device: where large products may be computed.
        """


def check_positive(measure: Measure, **values: float) -> None:
    """Raises ValueError, naming measure and key, for the first value that is not above zero."""
    for key, value in values.items():
        if not value > 0:
            raise UserError(f'{type(measure).__name__}: {key} must be positive, got {value}.')


def no_candidate(measure: Measure, filters: str, dataset: str) -> UserError:
    """The error for a data set in which nothing passes the filters of a measure."""
    return UserError(
        f'{type(measure).__name__}: no candidate in data set {dataset} passes the filter: '
        f'{filters}; relax it in a config that names the measure (config key measures of its '
        'ProbeDataset), or leave the measure out (tools: --measures).'
    )


def fewer_note(measure: Measure, found: int, asked: int, what: str) -> list[str]:
    """A remark when fewer items than asked were found, else nothing."""
    if found >= asked:
        return []
    return [f'{type(measure).__name__}: {found} of {asked} {what} asked for; used what there is.']


def histogram(values: np.ndarray, upper: float = 1.0) -> dict[str, list]:
    """Counts in 50 equal bins on [0, upper]; values outside fall into the first or last bin."""
    counts, edges = np.histogram(np.clip(values, 0, upper), bins=50, range=(0, upper))
    return dict(edges=edges.tolist(), counts=counts.tolist())
