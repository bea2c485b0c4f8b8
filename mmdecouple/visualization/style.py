"""Common style of all figures: each run has a fixed color (safe for color blindness), marker and dash pattern."""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mmdecouple.utils.files import write_bytes

if TYPE_CHECKING:
    from mmdecouple.networks.network import Network

INK = '#1f2933'
MUTED = '#66727f'
RULE = '#dde3e9'
UNTRAINED_COLOR = '#7b8794'
CUT_COLOR = '#D55E00'
_COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#5B3A8E')
_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
_DASHES = ('-', '--', ':', '-.')
_COLUMNS = 8  # of a page
_DPI = 160
_PALETTE = 128  # colors of a figure without pictures

_RC = {
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans'],
    'font.size': 9.0,
    'text.color': INK,
    'axes.labelcolor': INK,
    'axes.edgecolor': '#9aa5b1',
    'axes.linewidth': 0.8,
    'axes.titlesize': 9.5,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.titlepad': 8.0,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.axisbelow': True,
    'axes.grid': True,
    'grid.color': RULE,
    'grid.linewidth': 0.7,
    'xtick.color': MUTED,
    'ytick.color': MUTED,
    'xtick.labelsize': 8.0,
    'ytick.labelsize': 8.0,
    'xtick.major.size': 0.0,
    'ytick.major.size': 0.0,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    'figure.facecolor': 'white',
    'savefig.facecolor': 'white',
}


class RunStyle(NamedTuple):
    """Style of one run in all figures.

    Attributes:
        color: Color of lines and markers.
        marker: Marker of matplotlib.
        dash: Line style of matplotlib.
    """

    color: str
    marker: str
    dash: str


def run_styles(names: Sequence[str], untrained: str | None = None) -> dict[str, RunStyle]:
    """Assigns a style to every run by its position; the untrained network is always gray.

    Args:
        names: Run names in the order of the report.
        untrained: Name of the untrained network among them; None for none.

    Returns:
        Name -> style. Colors repeat after seven runs with other dash patterns.
    """
    styles, place = {}, 0
    for name in names:
        if name == untrained:
            styles[name] = RunStyle(UNTRAINED_COLOR, 'o', '--')
            continue
        turn, index = divmod(place, len(_COLORS))
        styles[name] = RunStyle(_COLORS[index], _MARKERS[index], _DASHES[turn % len(_DASHES)])
        place += 1
    return styles


def network_styles(networks: Mapping[str, 'Network']) -> dict[str, RunStyle]:
    """Returns the style of every network; a single untrained network is gray."""
    untrained = [name for name, network in networks.items() if network.checkpoint is None]
    return run_styles(list(networks), untrained[0] if len(untrained) == 1 else None)


def figure_style() -> AbstractContextManager:
    """Returns the context of matplotlib in which every figure is drawn."""
    return matplotlib.rc_context(_RC)


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of `width` x `height` inches, which requires neither a display nor pyplot."""
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Axes) -> Axes:
    """Removes ticks, frame and grid of axes that show a picture, and returns the axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def save_png(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG at the resolution of the report, and returns the path.

    A figure without pictures has a palette, which takes less than half of the space.
    """
    content = io.BytesIO()
    with figure_style():
        figure.savefig(content, dpi=_DPI, format='png', metadata={'Software': None})
    drawn = content.getvalue()
    write_bytes(path, drawn if any(axes.images for axes in figure.axes) else with_palette(drawn, _PALETTE))
    return path


def with_palette(content: bytes, colors: int = 256) -> bytes:
    """Returns a PNG with a palette: each pixel takes the nearest of `colors` colors, at most 256, in one byte."""
    found = io.BytesIO()
    drawn = Image.open(io.BytesIO(content)).convert('RGB')
    drawn.quantize(colors, dither=Image.Dither.NONE).save(found, 'PNG', optimize=True)
    return found.getvalue()


def save_pages(out: Path, stem: str, count: int, draw: Callable[[slice], Figure]) -> list[Path]:
    """Draws `count` columns on pages of eight, and writes them to the files STEM.png, STEM-2.png, ...

    Args:
        out: Folder of the files.
        stem: Start of their names.
        count: Number of columns.
        draw: Function that draws a slice of the columns.

    Returns:
        The files.
    """
    return [
        save_png(draw(slice(start, start + _COLUMNS)), out / f'{stem}{f"-{page}" if page > 1 else ""}.png')
        for page, start in enumerate(range(0, count, _COLUMNS), 1)
    ]
