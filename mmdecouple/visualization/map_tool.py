"""Shared parts of the tools that draw maps: options, opening of networks and images, and a cache of maps."""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmdecouple.networks.network import LAYER, TRUST, Network
from mmdecouple.networks.open_networks import open_networks
from mmdecouple.runs.launch import choose_device
from mmdecouple.utils.arguments import positive, seed
from mmdecouple.utils.digests import digest_of, digest_of_bytes
from mmdecouple.utils.files import write_bytes

from .sample_images import SOURCES, SampleImage, read_sample_images
from .style import RunStyle, run_styles, save_png

_COLUMNS = 8


def add_options(parser: argparse.ArgumentParser, size: int, scenes: int, out: str) -> None:
    """Adds the options of a tool that draws a map per network and image.

    Args:
        parser: Parser of the tool.
        size: Default side of an image in pixels.
        scenes: Default side of built-in scenes in pixels.
        out: Default output folder.
    """
    parser.add_argument(
        'networks',
        nargs='+',
        metavar='NETWORK',
        help='CHECKPOINT.pth, RUN_FOLDER, CONFIG.py (untrained), CONFIG.py=CHECKPOINT.pth, timm:NAME, '
        'timm:NAME=FILE, or a weight file of a published ViT',
    )
    parser.add_argument('--images', nargs='+', required=True, metavar='IMAGES', help=SOURCES)
    parser.add_argument('--names', nargs='+', help='names of the networks, in order (default: files and folders)')
    parser.add_argument('--out', type=Path, default=Path(out), help=f'folder of figures and arrays (default: {out})')
    parser.add_argument(
        '--size',
        type=positive,
        help='side in pixels at which networks see the images; they take the '
        f'nearest multiple of their cell (default: {size}, scenes {scenes})',
    )
    parser.add_argument('--limit', type=positive, default=6, help='most images (default: 6)')
    parser.add_argument('--measured', choices=('teacher', 'student'), help='whose features, where a network has both')
    parser.add_argument('--layer', help=LAYER)
    parser.add_argument('--seed', type=seed, default=0, help='of networks without weights (default: 0)')
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)
    parser.set_defaults(usual_size=size, scene_size=scenes)


def open_named(args: argparse.Namespace) -> tuple[dict[str, Network], list[SampleImage]]:
    """Opens the networks and images of the options of `add_options`; images first, as they are read faster."""
    scenes = all(spec.split(':')[0] == 'scenes' for spec in args.images)
    size = args.size or (args.scene_size if scenes else args.usual_size)
    choose_device(args.device)
    subjects = read_sample_images(args.images, size, args.limit)
    networks = open_networks(
        args.networks,
        args.names,
        measured=args.measured,
        layer=args.layer,
        seed=args.seed,
        allow_pickle=args.allow_pickle,
    )
    return networks, subjects


def layer_title(layer: str | None) -> str:
    """Returns the text for a layer in titles."""
    return 'last layer' if layer is None else f'layer {layer.removeprefix("layer")}'


def styles_of_networks(networks: dict[str, Network]) -> dict[str, RunStyle]:
    """Returns the style of every network; a single untrained network is gray."""
    untrained = [name for name, network in networks.items() if network.checkpoint is None]
    return run_styles(list(networks), untrained[0] if len(untrained) == 1 else None)


def cached(folder: Path, facts: Sequence[object], make: Callable[[], np.ndarray]) -> np.ndarray:
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


def save_pages(out: Path, stem: str, count: int, draw: Callable[[slice], Figure]) -> Iterator[Path]:
    """Draws `count` columns on pages of eight and yields the files STEM.png, STEM-2.png, ...

    Args:
        out: Folder of the files.
        stem: Start of their names.
        count: Number of columns.
        draw: Function that draws a slice of the columns.
    """
    for page, start in enumerate(range(0, count, _COLUMNS), 1):
        yield save_png(draw(slice(start, start + _COLUMNS)), out / f'{stem}{f"-{page}" if page > 1 else ""}.png')
