"""Affinity maps of several networks at points of the same images, as arrays and figures in files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mmdecouple.networks.inference import evaluating
from mmdecouple.networks.network import Network
from mmdecouple.utils.files import write_arrays
from mmdecouple.utils.progress import shown_progress

from .affinity import affinity_figure, point_affinity
from .sample_images import SampleImage, normalized
from .style import network_styles, save_pages

Point = tuple[float, float]
_CENTER = (0.5, 0.5)


def write_affinity(
    networks: dict[str, Network],
    subjects: Sequence[SampleImage],
    given: Sequence[Point],
    scale: str,
    layer: str | None,
    arrays: Path,
) -> list[Path]:
    """Computes the affinity maps of networks, and writes them as one file of arrays with figures beside it.

    Args:
        networks: Name -> network.
        subjects: The images.
        given: Points in every image; empty for the points of the image, or its center.
        scale: Color scale, see `affinity_figure`.
        layer: Layer that is read, for the arrays.
        arrays: File of the arrays.

    Returns:
        Paths of the figures.
    """
    chosen = [given or subject.points or (_CENTER,) for subject in subjects]
    maps: dict[str, list[np.ndarray]] = {name: [] for name in networks}
    with shown_progress('images') as progress:
        for number, (subject, points) in enumerate(zip(subjects, chosen), 1):
            for name, network in networks.items():
                maps[name] += _maps_of(network, subject, points)
            progress(number, len(subjects))
    points = [point for group in chosen for point in group]
    owners = [index for index, group in enumerate(chosen) for _ in group]
    write_arrays(
        arrays,
        image_names=[subject.name for subject in subjects],
        images=[subject.image for subject in subjects],
        points=points,
        image_of_point=owners,
        layer=layer or '',
        **{f'affinity_{name}': found for name, found in maps.items()},
    )
    styles, images = network_styles(networks), [subjects[index].image for index in owners]

    def draw(page: slice):
        shown = {name: found[page] for name, found in maps.items()}
        return affinity_figure(images[page], points[page], shown, styles, scale)

    return save_pages(arrays.parent, f'affinity_{scale}', len(points), draw)


@torch.no_grad()
def _maps_of(network: Network, subject: SampleImage, points: Sequence[Point]) -> list[np.ndarray]:
    """Returns the affinity map of every point, at twice the resolution of the network's map."""
    with evaluating(network.model):
        features = network.model.dense_features(normalized(network.model, [subject.image], network.cell))
    found = point_affinity(features.expand(len(points), -1, -1, -1), torch.tensor(points, device=features.device))
    return list(found.cpu().numpy())
