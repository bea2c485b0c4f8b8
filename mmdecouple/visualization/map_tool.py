"""What the tools that draw maps share: their options, what they name, and maps that need not be computed twice."""

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

from .sample_images import WORDS, SampleImage, read_sample_images
from .style import RunStyle, run_styles, save_png

_COLUMNS = 8


def add_options(parser: argparse.ArgumentParser, size: int, scenes: int, out: str) -> None:
    """Options of a tool that draws a map per network and image.

    Args:
        parser: Of the tool.
        size: Side of an image in pixels.
        scenes: The same for built-in scenes.
        out: Folder.
    """
    parser.add_argument(
        'networks',
        nargs='+',
        metavar='NETWORK',
        help='CHECKPOINT.pth, RUN_FOLDER, CONFIG.py (untrained), CONFIG.py=CHECKPOINT.pth, timm:NAME, '
        'timm:NAME=FILE, or a weight file of a published ViT',
    )
    parser.add_argument('--images', nargs='+', required=True, metavar='IMAGES', help=WORDS)
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
    """The networks and images that the options of `add_options` name; images first, as they are read faster."""
    scenes = all(word.split(':')[0] == 'scenes' for word in args.images)
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
    """What a title says of the layer that was asked for."""
    return 'last layer' if layer is None else f'layer {layer.removeprefix("layer")}'


def styles_of_networks(networks: dict[str, Network]) -> dict[str, RunStyle]:
    """Color of every network, gray for the one without weights."""
    untrained = [name for name, network in networks.items() if network.checkpoint is None]
    return run_styles(list(networks), untrained[0] if len(untrained) == 1 else None)


def cached(folder: Path, facts: Sequence[object], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `make` makes, or made in an earlier call with the same facts.

    Args:
        folder: Where arrays are kept.
        facts: All that the array depends on: numbers, words, arrays.
        make: Computes it.
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
    """Draw `count` columns on pages of eight, STEM.png, STEM-2.png, ..., and give their paths."""
    for page, start in enumerate(range(0, count, _COLUMNS), 1):
        yield save_png(draw(slice(start, start + _COLUMNS)), out / f'{stem}{f"-{page}" if page > 1 else ""}.png')
