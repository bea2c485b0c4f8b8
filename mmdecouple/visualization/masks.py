"""Figures of cut masks as in the paper: collaboration (fig. 11) and types of masks (fig. 12)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .style import CUT_COLOR, INK, MUTED, bare, figure_style, new_figure

LABELS = {
    'rcc': 'RCC',
    'rcc_printed': 'RCC, Algorithm 2 as printed',
    'cutout': 'Cutout',
    'blockwise': 'Blockwise',
    'random': 'Random',
    'rectangle': 'Rectangle',
}
_LINES = {'rcc': ('#0072B2', 'o', '-'), 'cutout': ('#D55E00', 's', '--'), 'rcc_printed': ('#7b8794', '^', ':')}
_KEPT_COLOR = '#EEF2F5'


def collaboration_figure(numbers: Sequence[int], ratios: Mapping[str, np.ndarray], cut_ratio: float) -> Figure:
    """Draws the share of a region that is cut against the number of regions.

    Args:
        numbers: Numbers of regions.
        ratios: Name of a mask type -> `(len(numbers), 2)`, mean and standard deviation over regions.
        cut_ratio: Target ratio, drawn as a line, in [0, 1].

    Returns:
        Figure with one line per mask type and a band of one standard deviation on either side.

    Source: ICLR 2024 paper, fig. 11.
    """
    with figure_style():
        figure = new_figure(6.0, 3.7)
        axes = figure.subplots()
        axes.axhline(cut_ratio, color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)))
        axes.annotate(
            f'target: {cut_ratio:g}',
            (1, cut_ratio),
            (3, 0),
            color=INK,
            fontsize=8,
            xycoords=('axes fraction', 'data'),
            textcoords='offset points',
            ha='left',
            va='center',
            annotation_clip=False,
        )
        for name, values in ratios.items():
            color, marker, dash = _LINES[name]
            mean, deviation = np.asarray(values).T
            axes.fill_between(
                numbers,
                (mean - deviation).clip(0),
                (mean + deviation).clip(max=1),
                color=color,
                alpha=0.13,
                linewidth=0,
            )
            axes.plot(
                numbers,
                mean,
                color=color,
                marker=marker,
                linestyle=dash,
                markersize=5,
                linewidth=1.8,
                label=LABELS[name],
            )
        axes.set_xticks(numbers)
        axes.set_ylim(0, 1)
        axes.set_xlabel('number of regions in a view')
        axes.set_ylabel('share of a region that is cut')
        axes.set_title('RCC keeps the target ratio for any number of overlapping regions')
        axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.17), ncols=len(ratios))
    return figure


def mask_types_figure(masks: Mapping[str, np.ndarray], regions: Mapping[str, np.ndarray]) -> Figure:
    """Draws one cut mask of each type.

    Args:
        masks: Name of a mask type -> bool `(h, w)`, True for cut cells.
        regions: Name -> `(K, 4)` x1, y1, x2, y2 in cells, for the types that cut within regions.

    Returns:
        Figure with one panel per type: cut cells colored, regions outlined.

    Source: ICLR 2024 paper, fig. 12.
    """
    with figure_style():
        figure = new_figure(1.75 * len(masks), 2.5)
        panels = figure.subplots(1, len(masks), squeeze=False)[0]
        for axes, (name, mask) in zip(panels, masks.items()):
            height, width = mask.shape
            colors = np.where(mask[..., None], _rgb(CUT_COLOR), _rgb(_KEPT_COLOR))
            bare(axes).imshow(colors, extent=(0, width, height, 0), interpolation='nearest')
            for x1, y1, x2, y2 in regions.get(name, ()):
                axes.add_patch(
                    Rectangle(
                        (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=INK, linewidth=0.9, linestyle=(0, (3, 2))
                    )
                )
            axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor=MUTED, linewidth=0.8, clip_on=False))
            axes.set_title(LABELS[name].replace(', ', ',\n'), fontsize=8.5, loc='center')
            axes.set_xlabel(f'{100 * mask.mean():.0f} % cut', fontsize=8)
        figure.supxlabel('colored: cut, shows the background image      dashed: regions', fontsize=8, color=MUTED)
    return figure


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[index : index + 2], 16) for index in (1, 3, 5)], np.uint8)
