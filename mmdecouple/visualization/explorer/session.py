"""Features and LSC maps of images, computed once on request."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation.local_consistency import lsc_maps
from mmdecouple.networks.inference import evaluating
from mmdecouple.networks.network import Network
from mmdecouple.utils.errors import UserError
from mmdecouple.visualization.sample_images import SampleImage, normalized
from mmdecouple.visualization.style import RunStyle, network_styles

from .quantize import QuantizedMap, quantize_features, quantize_smallest

MOST = 6
Progress = Callable[[int, int], None]


class Session:
    """Several networks on the same images.

    Args:
        networks: One to six networks.
        subjects: At least one image.
        exact: Whether to keep affinities exact to 1e-4; if False, features are stored as compactly as an error of 0.005
            permits.

    Attributes:
        error: Largest measured error of an affinity so far; 0 if `exact` is True.

    Raises:
        UserError: There are no networks, or more than six.
    """

    def __init__(self, networks: Sequence[Network], subjects: Sequence[SampleImage], exact: bool = True) -> None:
        check_count(len(networks))
        self.networks, self.subjects, self.exact = tuple(networks), tuple(subjects), exact
        self.names = _unique_names([network.name for network in networks])
        self.error = 0.0
        self._features: dict[int, list[QuantizedMap]] = {}
        self._consistency: dict[int, list[np.ndarray]] = {}

    @cached_property
    def styles(self) -> dict[str, RunStyle]:
        """Style of every network; a single untrained network is gray."""
        return network_styles(dict(zip(self.names, self.networks)))

    def features(self, index: int) -> list[QuantizedMap]:
        """Returns the quantized features of image `index`, one map per network."""
        if index not in self._features:
            self._features[index] = [self._code(features) for features in self._dense(index)]
        return self._features[index]

    def consistency(self, index: int, progress: Progress | None = None) -> list[np.ndarray]:
        """Returns the LSC maps of image `index`, float32 `(h, w)`, one per network.

        Args:
            index: Index of the image.
            progress: Called with (crops done, total crops), for each network.
        """
        if index not in self._consistency:
            self._consistency[index] = [
                lsc_maps(network.model, self._input(network, index), network.cell, progress=progress)[0].numpy()
                for network in self.networks
            ]
        return self._consistency[index]

    def _code(self, features: Tensor) -> QuantizedMap:
        if self.exact:
            return quantize_features(features)
        coded, error = quantize_smallest(features)
        self.error = max(self.error, error)
        return coded

    @torch.no_grad()
    def _dense(self, index: int) -> list[Tensor]:
        found = []
        for network in self.networks:
            with evaluating(network.model):
                found.append(network.model.dense_features(self._input(network, index))[0])
        return found

    def _input(self, network: Network, index: int) -> Tensor:
        return normalized(network.model, [self.subjects[index].image], network.cell)


def check_count(count: int) -> None:
    """Checks the number of networks, before any of them is opened.

    Raises:
        UserError: `count` is not in [1, 6].
    """
    if not 1 <= count <= MOST:
        raise UserError(f'Explorer: got {count} networks; choose 1 to {MOST}.')


def _unique_names(names: Sequence[str]) -> list[str]:
    return [
        name if names.count(name) == 1 else f'{name} ({names[:place].count(name) + 1})'
        for place, name in enumerate(names)
    ]
