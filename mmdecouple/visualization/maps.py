"""Figures of images with the maps of several networks."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import RunStyle, bare, figure_style, new_figure

Point = tuple[float, float]
_NAME = 18  # characters of a name per line


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
    """Draws images in a row, and below them a row of maps for every network.

    Args:
        images: N arrays `(H, W, 3)`, uint8 RGB.
        maps: Network name -> N maps `(h, w)`, whose sizes may differ between networks.
        styles: Network name -> style, for the titles of the rows.
        label: Meaning of the color.
        limits: Ends of the color scale; None for the minimum and maximum of each map.
        points: N points, x and y as shares of width and height, marked in images and maps; None for no points.
        captions: Network name -> N captions above its maps; None for no captions.

    Returns:
        Figure with one column per image and, with `limits`, a color bar.
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
    """Draws the LSC maps of networks with their means, all on one color scale from 0 to 1.

    Args:
        images: N arrays `(H, W, 3)`, uint8 RGB.
        maps: Network name -> N maps `(h, w)`, see `lsc_maps`.
        styles: Network name -> style.

    Source: ICLR 2024 paper, fig. 17 and 18.
    """
    captions = {name: [f'mean {value.mean():.3f}' for value in values] for name, values in maps.items()}
    return maps_figure(images, maps, styles, 'LSC', captions=captions)


def _name_row(axes: Axes, text: str, **look: str) -> None:
    axes.set_ylabel('\n'.join(wrap(text, _NAME)), rotation=0, ha='right', va='center', **look)


def _mark(axes: Axes, x: float, y: float, **look: object) -> None:
    height, width = axes.images[0].get_array().shape[:2]
    axes.plot(x * width - 0.5, y * height - 0.5, 'o', **look)
