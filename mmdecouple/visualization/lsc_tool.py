"""LSC maps of several networks on the same images, for the tool that draws them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmdecouple.evaluation import lsc_maps, stats
from mmdecouple.networks.network import Network
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.progress import shown_progress

from .map_tool import cached
from .sample_images import SampleImage, normalized


def check_upsample(networks: dict[str, Network], upsample: int | None) -> None:
    """Checks that enlarged windows divide into the cells of every network.

    Args:
        networks: Name -> network.
        upsample: Side of an enlarged window in pixels; None for windows at their own size.

    Raises:
        UserError: They do not.
    """
    common = math.lcm(*(network.cell for network in networks.values()))
    if upsample is not None and upsample % common:
        raise UserError(
            f'lsc: --upsample {upsample} is not a multiple of the cells of {", ".join(networks)}; give a multiple of '
            f'{common} pixels.'
        )


def maps_of(
    name: str,
    network: Network,
    subjects: Sequence[SampleImage],
    folder: Path,
    *,
    window: int = 5,
    upsample: int | None = None,
    precision: str = 'fp32',
    batch_size: int = 64,
) -> list[np.ndarray]:
    """Returns the LSC map of every image, computed or read from the cache.

    Args:
        name: Name of the network, for the progress.
        network: The network.
        subjects: The images.
        folder: Folder of cached maps.
        window: See `lsc_maps`.
        upsample: See `lsc_maps`.
        precision: See `lsc_maps`.
        batch_size: See `lsc_maps`.

    Returns:
        One map `(h, w)` per image.
    """
    weights, maps = fingerprint(network), []
    for number, subject in enumerate(subjects, 1):
        image = normalized(network.model, [subject.image], network.cell)
        facts = (weights, subject.image, tuple(image.shape), network.cell, window, upsample, precision)
        with shown_progress(f'{name}, image {number} of {len(subjects)}: windows') as progress:

            def compute(image=image, progress=progress) -> np.ndarray:
                settings = dict(batch_size=batch_size, upsample=upsample, precision=precision, progress=progress)
                return lsc_maps(network.model, image, network.cell, window, **settings)[0].numpy()

            maps.append(cached(folder, facts, compute))
    return maps


def summary(maps: Sequence[np.ndarray]) -> dict[str, object]:
    """Returns the mean over images of the mean of a map: value, interval and count, and the mean of every image.

    Args:
        maps: One map `(h, w)` per image.
    """
    means = [float(value.mean()) for value in maps]
    return dict(**stats.estimate(stats.mean(means), range(len(means))).entry(), images=means)
