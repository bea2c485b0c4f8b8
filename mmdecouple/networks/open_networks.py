"""Opening of several networks to compare, with unique names, and fingerprints of networks."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmdecouple.models.backbones import layer_strides
from mmdecouple.networks.network import Network, at_layer, open_network
from mmdecouple.utils.errors import UserError

EVERY_LAYER = 'all'


def open_networks(
    specs: Sequence[str],
    names: Sequence[str] | None = None,
    *,
    taken: Sequence[str] = (),
    layer: str | int | None = None,
    **settings: Any,
) -> dict[str, Network]:
    """Opens several networks and gives them names for legends and files.

    Args:
        specs: Specifications, see `open_network`.
        names: One name per network; None for the names of the networks.
        taken: Names of files that the tool writes itself.
        layer: See `open_network`; `EVERY_LAYER` returns each network at its last layer, and after it the same network
            at every layer, see `at_layer`.
        **settings: Other arguments of `open_network`.

    Returns:
        Name -> network.

    Raises:
        UserError: The number of names differs from that of networks, two names are equal, or a name is in `taken`; with
            `EVERY_LAYER`, a network has no layers that can be named.
    """
    if names and len(names) != len(specs):
        raise UserError(f'{len(names)} names for {len(specs)} networks; give one name per network (--names).')
    every = layer == EVERY_LAYER
    opened = [open_network(spec, layer=None if every else layer, **settings) for spec in specs]
    named = [replace(network, name=name) for network, name in zip(opened, names or [one.name for one in opened])]
    if every:
        named = [one for network in named for one in (network, *_layers_of(network))]
    found = [re.sub(r'[^\w.+-]+', '-', network.name) for network in named]
    for name in found:
        if found.count(name) > 1:
            raise UserError(f'Two networks are called {name}; give them different --names.')
        if name in taken:
            raise UserError(
                f'A network cannot be called {name}, like a file of this tool; choose another name (--names).'
            )
    return dict(zip(found, named))


def _layers_of(network: Network) -> list[Network]:
    layers = layer_strides(network.model.measured_backbone)
    if not layers:
        raise UserError(
            f'{network.name}: {type(network.model.measured_backbone).__name__} has no layers that can be named; omit '
            f'--layer {EVERY_LAYER}.'
        )
    return [at_layer(network, layer) for layer in layers]


def fingerprint(network: Network) -> str:
    """Returns the SHA-256 of everything that determines the output of a network.

    It covers all weights and buffers, the plain settings of all modules (such as heads, strides and floors), and which
    backbone is measured at which layer.
    """
    # Hashed as a stream of tensors, which `digest_of` does not support; another order or form would also change the
    # `network_sha256` of existing reports, which would then be measured again.
    read = type(network.model).__name__, getattr(network.model, 'measured', ''), network.model.layer
    found = hashlib.sha256(repr(read).encode())
    for name, module in network.model.named_modules():
        settings = {key: value for key, value in sorted(vars(module).items()) if _is_plain(value)}
        found.update(f'{name} {type(module).__name__} {settings}'.encode())
    # The image statistics are buffers that are not part of a state dict.
    for name, value in (*network.model.named_parameters(), *network.model.named_buffers()):
        found.update(f'{name} {tuple(value.shape)} {value.dtype}'.encode())
        found.update(value.cpu().contiguous().view(-1).numpy().tobytes())
    return found.hexdigest()


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, float, str)) or (isinstance(value, tuple) and all(map(_is_plain, value)))
