"""Checks that the networks that are measured support the sizes of the probe images."""

import math

from mmdecouple.networks.inference import try_size
from mmdecouple.networks.network import Network
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError


def check_sizes(networks: dict[str, Network], probe: dict) -> None:
    """Checks that every network supports the sizes of the images of every measure.

    An image of each size is shown to each network once: some networks, such as mixers, support a single size.

    Args:
        networks: Name -> network.
        probe: Config of a `ProbeDataset`, as returned by `probe_config`.

    Raises:
        UserError: The resized images, or the crops of a measure, do not divide into the cells of a network, or the
            network does not support their size.
    """
    size, cell = probe.get('size', 224), probe.get('cell', 16)
    measures = [MEASURES.build(dict(config)) for config in probe['measures']]
    shown = {(size, size): ''}
    for measure in measures:
        for sides in measure.shown_sizes(size, cell):
            shown.setdefault(sides, type(measure).__name__)
    for name, network in networks.items():
        if size % network.cell:
            common = math.lcm(cell, *(other.cell for other in networks.values()))
            near = max(round(size / common), 1) * common
            raise UserError(
                f'Images of {size} pixels do not divide into the cells of {name}, which are '
                f'{network.cell} pixels wide; choose another --size, such as {near}.'
            )
        for (height, width), measure in shown.items():
            if height % network.cell or width % network.cell:
                raise UserError(
                    f'{measure} would show images of {height} x {width} pixels to {name}, whose cells are '
                    f'{network.cell} pixels wide; measure networks with equal cells together, or leave {measure} out '
                    '(--measures).'
                )
    tried = set()
    for name, network in networks.items():
        backbone = id(network.model.measured_backbone)
        for (height, width), measure in shown.items():
            if (backbone, height, width) in tried:
                continue
            tried.add((backbone, height, width))
            try:
                try_size(network.model, height, width)
            except UserError as error:
                if not measure:
                    raise UserError(f'{name}: {error}') from error
                raise UserError(
                    f'{name}: {measure} shows images of {height} x {width} pixels: {str(error).rstrip(".")}; leave '
                    f'{measure} out (--measures).'
                ) from error
