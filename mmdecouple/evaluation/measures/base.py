"""Base class of measures, which draw objects, render probe images and score the features of these images."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.object_sources import Sources
from mmdecouple.evaluation.stats import MetricValue
from mmdecouple.utils.errors import UserError


class Reference(NamedTuple):
    """Ids that a draw refers to; they are checked against the data set when a manifest is loaded.

    Args:
        source: Role of the data set: `query`, `bank` or `singles`.
        image: Image id.
        objects: Object ids in that image.
    """

    source: str
    image: int
    objects: tuple[int, ...] = ()


class Probe(NamedTuple):
    """One image that is shown to the network, and the regions of its dense map that are pooled.

    Exactly one of `boxes` and `weights` is given.

    Args:
        image: uint8 RGB `(H, W, 3)`.
        boxes: float32 `(R, 4)` x1, y1, x2, y2 in pixels of `image`, pooled by RoIAlign.
        weights: bool `(R, H, W)` at any resolution, such as that of cells, pooled as area-averaged soft weights.
        masked: bool `(h, w)`, cells that the network replaces with its mask token; None for no cell.
        class_token: Whether to read the network's class token instead of its map, as a map of one cell.
    """

    image: np.ndarray
    boxes: np.ndarray | None = None
    weights: np.ndarray | None = None
    masked: np.ndarray | None = None
    class_token: bool = False


@dataclass
class Drawn:
    """Draws of one measure.

    Args:
        draws: JSON-able dicts, one per scored item.
        notes: Remarks for the report, such as that fewer candidates were found than requested.
    """

    draws: list[dict]
    notes: list[str] = field(default_factory=list)


@dataclass
class Score:
    """Result of one measure.

    Args:
        metrics: Key -> value with its interval.
        histograms: Name -> dict(edges `(51,)`, counts `(50,)`).
        curves: Name -> dict of equally long lists.
        values: Name -> one number per scored item, in the order of the manifest.
        groups: Name -> image id of each of `values`; resampling draws whole images.
    """

    metrics: dict[str, MetricValue] = field(default_factory=dict)
    histograms: dict[str, dict[str, list]] = field(default_factory=dict)
    curves: dict[str, dict[str, list]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    groups: dict[str, list[int]] = field(default_factory=dict)


class Measure(ABC):
    """Base class of all measures: a draw gives one or more probe images, and a probe one feature per region.

    A measure is a dataclass whose fields are its settings.

    Attributes:
        name: Name of the measure with its current settings. It seeds the draws, and the keys of the metrics begin with
            it.
        version: Version of the definition, which increases when the same draws give other numbers; reports of another
            version are not reused.
        metrics: Spec of every metric that the measure computes with its default settings.
        variants: Name with other settings -> text that is appended to the labels of the metrics.
        limits: Settings that `--limit` caps: numbers of images, pairs or objects that are drawn.
        standard: Whether the measure is used if none is named. Another one must be named, and then has its default
            settings on all data.
        of: What the measure draws with its current settings: annotated `objects`, `regions` of images without
            annotations, or whole `images`, of any data.
    """

    name: str
    of: str = 'objects'
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[MetricSpec, ...]] = ()
    variants: ClassVar[dict[str, str]] = {}
    limits: ClassVar[tuple[str, ...]] = ()
    standard: ClassVar[bool] = True

    @classmethod
    def specs(cls) -> tuple[MetricSpec, ...]:
        """Returns the spec of every metric that the measure computes with any settings."""
        return cls.metrics + tuple(
            spec.variant(cls.name, other, suffix) for other, suffix in cls.variants.items() for spec in cls.metrics
        )

    @classmethod
    def scene_settings(cls, side: int) -> dict[str, Any]:
        """Returns the settings for built-in scenes that differ from the defaults.

        Args:
            side: Side of the scenes in pixels.
        """
        return {}

    @classmethod
    def region_settings(cls) -> dict[str, Any]:
        """Returns the settings for regions of images without annotations that differ from the defaults."""
        return {}

    def shown_sizes(self, size: int, cell: int) -> tuple[tuple[int, int], ...]:
        """Returns height and width in pixels of the images that the measure shows; every network must support them.

        Args:
            size: Side in pixels of whole images.
            cell: Side in pixels of a patch cell of the probes.
        """
        return ((size, size),)

    @abstractmethod
    def draw(self, sources: Sources, rng: np.random.Generator) -> Drawn:
        """Makes all random choices; everything after it is deterministic.

        Args:
            sources: Data sets to draw from.
            rng: Generator of this measure alone.

        Returns:
            The draws; an empty list with a note leaves the measure out.

        Raises:
            UserError: No candidate passes the filters of the measure.
        """

    @abstractmethod
    def references(self, draw: dict) -> list[Reference]:
        """Returns all ids that `draw` refers to."""

    @abstractmethod
    def probes(self, draw: dict) -> Sequence[Hashable]:
        """Returns the labels of the images of `draw`, in the order in which `score` receives their features."""

    @abstractmethod
    def render(self, draw: dict, probe: Any, sources: Sources) -> Probe:
        """Returns the image with the label `probe`, and the regions to pool from its dense map."""

    @abstractmethod
    def score(self, draws: list[dict], features: list[list[Tensor]], device: torch.device | str = 'cpu') -> Score:
        """Computes the metrics.

        Args:
            draws: Draws as returned by `draw`.
            features: For each draw and each of its probes, float32 `(R, C)` on the CPU: one row per pooled region.
            device: Device on which large products may be computed.
        """


def check_of(measure: Measure) -> None:
    """Raises a `UserError` if the setting `of` of a measure is neither `objects` nor `regions`."""
    if measure.of not in ('objects', 'regions'):
        raise UserError(f"{type(measure).__name__}: of must be 'objects' or 'regions', got {measure.of!r}.")


def check_positive(measure: Measure, **values: float) -> None:
    """Raises a `UserError` with the measure and the key for the first value that is not positive."""
    for key, value in values.items():
        if not value > 0:
            raise UserError(f'{type(measure).__name__}: {key} must be positive, got {value}.')


class NothingToMeasure(UserError):
    """The data holds nothing that a measure can draw."""


def no_candidate(measure: Measure, filters: str, dataset: str) -> NothingToMeasure:
    """Returns the error for a data set in which no candidate passes the filters of a measure.

    Args:
        measure: The measure.
        filters: Description of the filters and the settings behind them.
        dataset: Name of the data set.
    """
    return NothingToMeasure(
        f'{type(measure).__name__}: no candidate in data set {dataset} passes the filter: '
        f'{filters}; relax it in a config that names the measure (config key measures of its '
        'ProbeDataset), or leave the measure out (tools: --measures).'
    )


def fewer_note(measure: Measure, found: int, asked: int, what: str) -> list[str]:
    """Returns a remark if fewer items were found than requested, else an empty list.

    Args:
        measure: The measure.
        found: Number of items found.
        asked: Number of items requested.
        what: Name of the items, in the plural.
    """
    if found >= asked:
        return []
    # Notes are part of the manifest: other words would change the digests of draws that are already measured.
    return [f'{type(measure).__name__}: {found} of {asked} {what} asked for; used what there is.']


def histogram(values: np.ndarray, upper: float = 1.0) -> dict[str, list]:
    """Returns counts in 50 equal bins on [0, upper]; values outside are counted in the first or last bin.

    Args:
        values: `(n,)`.
        upper: Upper end of the last bin.

    Returns:
        dict(edges `(51,)`, counts `(50,)`).
    """
    counts, edges = np.histogram(np.clip(values, 0, upper), bins=50, range=(0, upper))
    return dict(edges=edges.tolist(), counts=counts.tolist())
