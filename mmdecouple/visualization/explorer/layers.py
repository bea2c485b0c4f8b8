"""Choice of the layers of a network that the page offers."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from mmdecouple.models.backbones import layer_strides
from mmdecouple.networks.network import Network
from mmdecouple.utils.errors import UserError

LAST = 'last'
ALL = 'all'


def known_layers(network: Network) -> tuple[str, ...]:
    """Returns the names of all layers of a network, in order; `last` is what the measures read without `--layer`."""
    return (*layer_strides(network.model.measured_backbone), LAST)


def choose_layers(networks: Sequence[Network], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the layers of each network that have one of the names.

    Args:
        networks: Networks, which may have different layers.
        names: Blocks of a ViT by number, stages of a CNN by name, `last`, or `all`.

    Raises:
        UserError: A name is not a layer of any network, or a network has none of the layers.
    """
    known = [known_layers(network) for network in networks]
    for name in names:
        if name != ALL and not any(name in layers for layers in known):
            raise UserError(
                f'Explorer: none of the networks has a layer {name}; {networks[0].name} has {", ".join(known[0])} '
                '(--layers).'
            )
    chosen = [tuple(layer for layer in layers if ALL in names or layer in names) for layers in known]
    for network, layers, found in zip(networks, known, chosen):
        if not found:
            raise UserError(
                f'Explorer: {network.name} has none of the layers {", ".join(names)}; add one of '
                f'{", ".join(layers)} (--layers).'
            )
    return chosen


def at_layer(network: Network, layer: str) -> Network:
    """Returns a network that reads a layer and shares its weights with `network`, which is left unchanged."""
    if layer == LAST:
        return network
    # Other threads may read other layers of the same model at the same time.
    model = copy(network.model)
    model.layer = layer
    return replace(network, model=model, cell=layer_strides(model.measured_backbone)[layer])
