"""What the networks compute for the page: features, components, changes and LSC maps, once on request."""

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdecouple.evaluation.local_consistency import lsc_maps
from mmdecouple.networks.inference import evaluating
from mmdecouple.networks.network import Network
from mmdecouple.utils.errors import UserError
from mmdecouple.visualization.sample_images import SampleImage, normalized
from mmdecouple.visualization.style import RunStyle, network_styles

from .components import Components, component_colors, fit_components
from .layers import ALL, at_layer, choose_layers
from .quantize import QuantizedMap, quantize_features, quantize_smallest
from .surroundings import Region, feature_change, kept_patches, regions_of, swap_surroundings

MOST = 6
_FITTED = 32768  # positions, 256 MiB of 2048 channels
Progress = Callable[[int, int], None]


class Place(NamedTuple):
    """What is read: a layer of a network on an image.

    Attributes:
        picture: Index of the image.
        network: Index of the network.
        layer: Index of the layer among those of the network in `Session.layers`.
        region: Index of the region around which the surroundings are swapped; None for the image as it is.
    """

    picture: int
    network: int
    layer: int
    region: int | None = None


class Change(NamedTuple):
    """Effect of foreign surroundings.

    Attributes:
        values: 1 - cosine of each patch, float32 `(h, w)`.
        kept: Patches whose pixels are all kept, bool `(h, w)`.
    """

    values: np.ndarray
    kept: np.ndarray

    @property
    def mean(self) -> float | None:
        """Mean over the kept patches; None if there is none."""
        return float(self.values[self.kept].mean(dtype=np.float64)) if self.kept.any() else None


class Reading(NamedTuple):
    """What the page shows of a place.

    Attributes:
        features: Quantized features.
        colors: First three components of the image as it is, uint8 RGB `(h, w, 3)`.
        change: Difference from the image as it is; None for the image as it is.
    """

    features: QuantizedMap
    colors: np.ndarray
    change: Change | None


class Session:
    """Several networks on the same images.

    Args:
        networks: One to six networks.
        subjects: At least one image.
        exact: Whether to keep affinities exact to 1e-4; if False, features are stored as compactly as an error of 0.005
            permits.
        layers: Names of the layers that can be chosen, see `choose_layers`.

    Attributes:
        layers: Names of the layers of each network.
        regions: Regions of each image, see `regions_of`; none if there is no other image.
        error: Largest measured error of an affinity so far; 0 if `exact` is True.

    Raises:
        UserError: There are no networks, or more than six, or a layer is unknown.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        subjects: Sequence[SampleImage],
        exact: bool = True,
        layers: Sequence[str] = (ALL,),
    ) -> None:
        check_count(len(networks))
        self.networks, self.subjects, self.exact = tuple(networks), tuple(subjects), exact
        self.names = _unique_names([network.name for network in networks])
        self.layers = choose_layers(networks, layers)
        self.regions: list[list[Region]] = [regions_of(subject) if len(subjects) > 1 else [] for subject in subjects]
        self.error = 0.0
        self.reading = lru_cache(256)(self._reading)
        self.shared_components = lru_cache(64)(self._shared_components)
        self._dense = lru_cache(32)(self._run)
        self._consistency: dict[Place, np.ndarray] = {}

    @cached_property
    def styles(self) -> dict[str, RunStyle]:
        """Style of every network; a single untrained network is gray."""
        return network_styles(dict(zip(self.names, self.networks)))

    def background(self, picture: int) -> int:
        """Returns the index of the image that gives foreign surroundings: the next one, after the last the first."""
        return (picture + 1) % len(self.subjects)

    def shared_colors(self, place: Place) -> np.ndarray:
        """Returns the first three components of all images, uint8 RGB `(h, w, 3)`, for a place.

        They are computed of the images as they are, from at most 32,768 positions, which are every k-th one.
        """
        return component_colors(self._dense(place), self.shared_components(place.network, place.layer))

    def consistency(self, place: Place, progress: Progress | None = None) -> np.ndarray:
        """Returns the LSC map of a place without a region, float32 `(h, w)`.

        Args:
            place: The place.
            progress: Called with (crops done, total crops).
        """
        if place not in self._consistency:
            network = self._at(place)
            images = normalized(network.model, [self.subjects[place.picture].image], network.cell)
            found = lsc_maps(network.model, images, network.cell, progress=progress)
            self._consistency[place] = found[0].numpy()
        return self._consistency[place]

    def all_consistencies(self, progress: Progress | None = None) -> None:
        """Computes the LSC maps of all images and networks, at the layer with which the page opens.

        Args:
            progress: Called with (maps done, total maps).
        """
        total = len(self.subjects) * len(self.networks)
        for index in range(total):
            picture, network = divmod(index, len(self.networks))
            self.consistency(Place(picture, network, len(self.layers[network]) - 1))
            if progress is not None:
                progress(index + 1, total)

    def _reading(self, place: Place) -> Reading:
        """Computes a reading; `reading` returns stored ones."""
        dense, own = self._dense(place), self._dense(place._replace(region=None))
        coded = self._code(dense)
        colors = component_colors(dense, fit_components(own.flatten(1).T))
        change = None
        if place.region is not None:
            box = self.regions[place.picture][place.region].box
            kept = kept_patches(box, len(self.subjects[place.picture].image), own.shape[1:], self._at(place).cell)
            change = Change(feature_change(own, dense), kept)
        return Reading(coded, colors, change)

    def _shared_components(self, network: int, layer: int) -> Components:
        rows = []
        for picture in range(len(self.subjects)):
            found = self._dense(Place(picture, network, layer)).flatten(1).T.cpu()
            step = max(-(-len(found) * len(self.subjects) // _FITTED), 1)
            rows.append(found[::step])
        return fit_components(torch.cat(rows))

    def _code(self, features: Tensor) -> QuantizedMap:
        if self.exact:
            return quantize_features(features)
        coded, error = quantize_smallest(features)
        self.error = max(self.error, error)
        return coded

    def _at(self, place: Place) -> Network:
        return at_layer(self.networks[place.network], self.layers[place.network][place.layer])

    @torch.no_grad()
    def _run(self, place: Place) -> Tensor:
        """Returns the features of a place, `(C, h, w)`."""
        network, image = self._at(place), self.subjects[place.picture].image
        if place.region is not None:
            background = self.subjects[self.background(place.picture)].image
            image = swap_surroundings(image, background, self.regions[place.picture][place.region].box)
        with evaluating(network.model):
            return network.model.dense_features(normalized(network.model, [image], network.cell))[0]


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
