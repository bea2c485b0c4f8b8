"""Several networks that are to be compared: their names, and which weights they hold."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from mmdecouple.networks.network import Network, open_network
from mmdecouple.utils.errors import UserError


def open_networks(
    specs: Sequence[str], names: Sequence[str] | None = None, *, taken: Sequence[str] = (), **settings: Any
) -> dict[str, Network]:
    """Networks by names that legends and files can have.

    Args:
        specs: As `open_network` takes them.
        names: One for each; None takes the networks' own.
        taken: Names that a tool needs for files of its own.
        **settings: Of `open_network`.

    Raises:
        ValueError: Names are too few, too many, alike or taken.
    """
    if names and len(names) != len(specs):
        raise UserError(f'{len(names)} names for {len(specs)} networks; give one name a network (--names).')
    opened = [open_network(spec, **settings) for spec in specs]
    names = [re.sub(r'[^\w.+-]+', '-', name) for name in names or [network.name for network in opened]]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'Two networks are called {name}; tell them apart with --names.')
        if name in taken:
            raise UserError(
                f'A network cannot be called {name}, as a file of this tool is; choose another name (--names).'
            )
    return dict(zip(names, opened))


def fingerprint(network: Network) -> str:
    """SHA-256 of what a network computes.

    It covers all weights and buffers, the plain settings of all modules (heads, strides, floors), which backbone is
    measured, and at which layer.
    """
    read = type(network.model).__name__, getattr(network.model, 'measured', ''), network.model.layer
    found = hashlib.sha256(repr(read).encode())
    for name, module in network.model.named_modules():
        settings = {key: value for key, value in sorted(vars(module).items()) if _is_plain(value)}
        found.update(f'{name} {type(module).__name__} {settings}'.encode())
    # The statistics of the images are buffers that no state dict holds.
    for name, value in (*network.model.named_parameters(), *network.model.named_buffers()):
        found.update(f'{name} {tuple(value.shape)} {value.dtype}'.encode())
        found.update(value.cpu().contiguous().view(-1).numpy().tobytes())
    return found.hexdigest()


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, float, str)) or (isinstance(value, tuple) and all(map(_is_plain, value)))
