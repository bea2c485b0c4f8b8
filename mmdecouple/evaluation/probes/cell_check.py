"""Checks that probe images divide into the cells of the networks that are measured."""

import math

from mmdecouple.networks.network import Network
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError


def check_cells(networks: dict[str, Network], probe: dict) -> None:
    """Checks that the images of every measure divide into the cells of every network.

    Args:
        networks: Name -> network.
        probe: Config of a `ProbeDataset`, as returned by `probe_config`.

    Raises:
        UserError: The resized images, or the crops of a measure, do not divide into the cells of a network.
    """
    size, cell = probe.get('size', 224), probe.get('cell', 16)
    measures = [MEASURES.build(dict(config)) for config in probe['measures']]
    shown = [(type(measure).__name__, side) for measure in measures for side in measure.shown_sides(size, cell)]
    for name, network in networks.items():
        if size % network.cell:
            common = math.lcm(cell, *(other.cell for other in networks.values()))
            near = max(round(size / common), 1) * common
            raise UserError(
                f'Images of {size} pixels do not divide into the cells of {name}, which are '
                f'{network.cell} pixels wide; choose another --size, such as {near}.'
            )
        for measure, side in shown:
            if side % network.cell:
                raise UserError(
                    f'{measure} would show images of {side} pixels to {name}, whose cells are {network.cell} pixels '
                    f'wide; measure networks with equal cells together, or leave {measure} out (--measures).'
                )
