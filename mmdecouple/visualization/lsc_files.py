"""LSC maps of several networks on the same images, as arrays, means and figures in files."""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdecouple.evaluation import lsc_maps, stats
from mmdecouple.networks.network import Network
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.utils.digests import digest_of, digest_of_bytes
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_arrays, write_bytes, write_json
from mmdecouple.utils.progress import shown_progress

from .maps import lsc_figure
from .sample_images import SampleImage, normalized
from .style import network_styles, save_pages

ARRAYS = 'lsc.npz'


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


def write_lsc(
    networks: dict[str, Network], subjects: Sequence[SampleImage], out: Path, layer: str | None, **settings: Any
) -> tuple[dict[str, dict], list[Path]]:
    """Computes the LSC maps of networks, and writes them, their means and figures; maps computed before are reused.

    Args:
        networks: Name -> network.
        subjects: The images.
        out: Folder of `lsc.npz`, `lsc.json`, the figures, and of the maps in `maps/`.
        layer: Layer that is read, for the report.
        **settings: `window`, `batch_size`, `upsample` and `precision` of `lsc_maps`.

    Returns:
        Name -> mean over the images with interval and count; and the paths of the figures.
    """
    maps = {name: _maps_of(name, network, subjects, out / 'maps', settings) for name, network in networks.items()}
    means = {name: _mean(found) for name, found in maps.items()}
    names, images = [subject.name for subject in subjects], [subject.image for subject in subjects]
    write_json(out / 'lsc.json', dict(images=names, window=settings['window'], layer=layer, lsc=means), indent=2)
    found = {f'lsc_{name}': value for name, value in maps.items()}
    write_arrays(out / ARRAYS, image_names=names, images=images, **found)
    styles = network_styles(networks)

    def draw(page: slice):
        return lsc_figure(images[page], {name: value[page] for name, value in maps.items()}, styles)

    return means, save_pages(out, 'lsc', len(images), draw)


def _maps_of(
    name: str, network: Network, subjects: Sequence[SampleImage], folder: Path, settings: dict[str, Any]
) -> list[np.ndarray]:
    """Returns the LSC map `(h, w)` of every image, computed or read from the folder of earlier maps."""
    weights, maps = fingerprint(network), []
    determining = [settings[key] for key in ('window', 'upsample', 'precision')]
    for number, subject in enumerate(subjects, 1):
        image = normalized(network.model, [subject.image], network.cell)
        facts = (weights, subject.image, tuple(image.shape), network.cell, *determining)
        with shown_progress(f'{name}, image {number} of {len(subjects)}: windows') as progress:

            def compute(image=image, progress=progress) -> np.ndarray:
                return lsc_maps(network.model, image, network.cell, **settings, progress=progress)[0].numpy()

            maps.append(_cached(folder, facts, compute))
    return maps


def _mean(maps: Sequence[np.ndarray]) -> dict[str, object]:
    """Returns the mean over images of the mean of a map: value, interval and count, and the mean of every image."""
    means = [float(value.mean()) for value in maps]
    return dict(**stats.estimate(stats.mean(means), range(len(means))).entry(), images=means)


def _cached(folder: Path, facts: Sequence[object], make: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns the array that `make` computes, or the result of an earlier call with the same facts.

    Args:
        folder: Folder of the cached arrays.
        facts: Everything on which the array depends: numbers, strings, arrays.
        make: Function that computes the array.
    """
    digest = digest_of(
        [digest_of_bytes(fact.tobytes()) if isinstance(fact, np.ndarray) else repr(fact) for fact in facts]
    )
    path = folder / f'{digest[:24]}.npy'
    if path.is_file():
        return np.load(path)
    content = io.BytesIO()
    made = make()
    np.save(content, made)
    write_bytes(path, content.getvalue())
    return made
