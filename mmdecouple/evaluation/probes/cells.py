"""Whether probe images divide into the cells of the networks that are to see them."""

import math

from mmdecouple.evaluation.measures.lsc import LSC
from mmdecouple.networks.network import Network
from mmdecouple.utils.errors import UserError


def check_cells(networks: dict[str, Network], probe: dict) -> None:
    """Refuses probe images that do not divide into the cells of every network.

    Args:
        networks: By name.
        probe: Config of a `ProbeDataset`, as `probe_config` gives it.

    Raises:
        ValueError: The squashed images, or the crops of LSC, do not.
    """
    size, cell = probe.get('size', 224), probe.get('cell', 16)
    crops = [cell * measure.get('window', LSC.window) for measure in probe['measures'] if measure['type'] == 'LSC']
    for name, network in networks.items():
        if size % network.cell:
            common = math.lcm(cell, *(other.cell for other in networks.values()))
            near = max(round(size / common), 1) * common
            raise UserError(
                f'Images of {size} pixels do not divide into the cells of {name}, which are '
                f'{network.cell} pixels; take another --size, such as {near}.'
            )
        odd = next((crop for crop in crops if crop <= size and crop % network.cell), None)
        if odd:
            raise UserError(
                f'LSC would show crops of {odd} pixels to {name}, whose cells are {network.cell} pixels; '
                'measure networks of one cell together, or leave LSC out (--measures).'
            )
