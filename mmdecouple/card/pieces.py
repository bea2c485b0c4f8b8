"""Interface of the pieces of a card: what is measured in one go, stored and reused as a whole."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from mmdecouple.card.features import FeatureStore
from mmdecouple.card.timing import Sample
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.networks.network import Network


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass
class Reading:
    """A network while its card is measured.

    Args:
        network: The network.
        batch_size: Images per forward pass.
        workers: Number of processes that read images.
        progress: Called with (stage, steps done, total steps).

    Attributes:
        store: Features of the images of segmentation.
    """

    network: Network
    batch_size: int = 8
    workers: int = 0
    progress: Callable[[str, int, int], None] = _silent
    store: FeatureStore = field(init=False)
    _samples: dict[int, Sample] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.store = FeatureStore(self.network.model)

    def sample(self, size: int) -> Sample:
        """Returns a timed forward pass of images of a side in pixels."""
        if size not in self._samples:
            self._samples[size] = Sample.of(FeatureStore(self.network.model), size)
        return self._samples[size]


class Piece(Protocol):
    """One part of a card."""

    @property
    def name(self) -> str:
        """Name in the file, unique in a card."""

    @property
    def title(self) -> str:
        """Heading in tables."""

    def identity(self) -> dict[str, Any]:
        """Returns plain values that determine the numbers, together with the weights of the network."""

    def obstacle(self, reading: Reading) -> str:
        """Returns why this network cannot be measured; empty if it can."""

    def protocol(self, reading: Reading) -> str:
        """Returns one sentence with everything that determines the numbers."""

    def estimate(self, reading: Reading) -> float:
        """Returns the expected time in seconds, from a timed part of the work."""

    def run(self, reading: Reading) -> dict[str, Any]:
        """Measures the network.

        Returns:
            Part of a report: `metrics`, `values`, `groups`, `resamples` and `notes`, see `CouplingMetric`.
        """

    def specs(self, metrics: dict[str, dict]) -> list[MetricSpec]:
        """Returns the specs of the rows among the measured metrics, in their order."""
