"""Maps of several networks beside each other, under the images they are of."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import RunStyle, bare, figure_style, new_figure

Point = tuple[float, float]
_NAME = 18  # letters of a name in a line


def maps_figure(
    images: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    styles: Mapping[str, RunStyle],
    label: str,
    *,
    limits: tuple[float, float] | None = (0.0, 1.0),
    points: Sequence[Point] | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Return images in a row, and below them a row of maps for every network.

    Args:
        images: N arrays (H, W, 3) uint8 RGB.
        maps: Network name -> N maps (h, w); networks may differ in their sizes.
        styles: Color per network, for the row titles.
        label: What the color means.
        limits: Values of the ends of the color scale; None stretches each map from its lowest to its highest.
        points: N points x, y as shares of width and height, marked in images and maps; None marks none.
        captions: Network name -> N lines above its maps.

    Returns:
        Figure: One column an image; with `limits` a color bar.
    """
    with figure_style():
        height = 1.7 if captions else 1.5
        figure = new_figure(1.45 * len(images) + 1.5, 1.5 + height * len(maps))
        grid = figure.subplots(len(maps) + 1, len(images), squeeze=False)
        for axes, image in zip(grid[0], images):
            bare(axes).imshow(image)
        _name_row(grid[0, 0], 'image, point' if points else 'image')
        for row, (name, values) in zip(grid[1:], maps.items()):
            for axes, value in zip(row, values):
                low, high = limits or (value.min(), value.max())
                drawn = bare(axes).imshow(value, cmap='viridis', vmin=low, vmax=high)
            for axes, caption in zip(row, captions[name] if captions else ()):
                axes.set_title(caption, fontsize=7.5, loc='center', pad=2.5)
            _name_row(row[0], name, fontweight='bold', color=styles[name].color)
        for axes, (x, y) in zip(grid[0], points or ()):
            _mark(axes, x, y, ms=7, mfc='#F0E442', mec='black', mew=1.4)
        for row in grid[1:]:
            for axes, (x, y) in zip(row, points or ()):
                _mark(axes, x, y, ms=5, mfc='none', mec='white', mew=1.2)
        if limits and maps:
            bar = figure.colorbar(drawn, ax=grid[1:, :], shrink=0.7, pad=0.02, aspect=28)
            bar.outline.set_visible(False)
            bar.set_label(label, fontsize=8)
    return figure


def lsc_figure(
    images: Sequence[np.ndarray], maps: Mapping[str, Sequence[np.ndarray]], styles: Mapping[str, RunStyle]
) -> Figure:
    """Return the LSC maps of networks with their means, all on one color scale from 0 to 1.

    Args:
        images: N arrays (H, W, 3) uint8 RGB.
        maps: Network name -> N maps (h, w), see :func:`mmdecouple.evaluation.local_consistency.lsc_maps`.
        styles: Color per network.

    Source: figures 17 and 18 of the paper.
    """
    captions = {name: [f'mean {value.mean():.3f}' for value in values] for name, values in maps.items()}
    return maps_figure(images, maps, styles, 'LSC', captions=captions)


def _name_row(axes: Axes, text: str, **look: str) -> None:
    axes.set_ylabel('\n'.join(wrap(text, _NAME)), rotation=0, ha='right', va='center', **look)


def _mark(axes: Axes, x: float, y: float, **look: object) -> None:
    height, width = axes.images[0].get_array().shape[:2]
    axes.plot(x * width - 0.5, y * height - 0.5, 'o', **look)
