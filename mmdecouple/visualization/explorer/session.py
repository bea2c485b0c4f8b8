"""What the networks say of the images, computed when it is asked for, once."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation.local_consistency import lsc_maps
from mmdecouple.networks.inference import evaluating
from mmdecouple.networks.network import Network
from mmdecouple.utils.errors import UserError
from mmdecouple.visualization.map_tool import styles_of_networks
from mmdecouple.visualization.sample_images import SampleImage, normalized
from mmdecouple.visualization.style import RunStyle

from .quantize import QuantizedMap, quantize_features, quantize_smallest

MOST = 6
Progress = Callable[[int, int], None]


class Session:
    """Networks side by side on the same images.

    Args:
        networks: One to six.
        subjects: The images, at least one.
        exact: Whether affinities are exact to 1e-4, or the features as small as an error of 0.005 allows.

    Attributes:
        error (float): Largest error of an affinity so far, measured; 0 where `exact`.

    Raises:
        ValueError: There are too many networks, or none.
    """

    def __init__(self, networks: Sequence[Network], subjects: Sequence[SampleImage], exact: bool = True) -> None:
        check_count(len(networks))
        self.networks, self.subjects, self.exact = tuple(networks), tuple(subjects), exact
        self.names = _told_apart([network.name for network in networks])
        self.error = 0.0
        self._features: dict[int, list[QuantizedMap]] = {}
        self._consistency: dict[int, list[np.ndarray]] = {}

    @cached_property
    def styles(self) -> dict[str, RunStyle]:
        """Color of every network, gray for the one without weights."""
        return styles_of_networks(dict(zip(self.names, self.networks)))

    def features(self, index: int) -> list[QuantizedMap]:
        """Coded features of image `index`, one map a network."""
        if index not in self._features:
            self._features[index] = [self._code(features) for features in self._dense(index)]
        return self._features[index]

    def consistency(self, index: int, progress: Progress | None = None) -> list[np.ndarray]:
        """LSC maps of image `index`, (h, w) float32, one a network.

        Args:
            index: Which image.
            progress: Called with (crops done, crops in all), network by network.
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
    """Refuse more networks than fit beside each other, before any of them is opened.

    Raises:
        ValueError: `count` is not 1 to 6.
    """
    if not 1 <= count <= MOST:
        raise UserError(f'Explorer: 1 to {MOST} networks fit beside each other, got {count}.')


def _told_apart(names: Sequence[str]) -> list[str]:
    return [
        name if names.count(name) == 1 else f'{name} ({names[:place].count(name) + 1})'
        for place, name in enumerate(names)
    ]
