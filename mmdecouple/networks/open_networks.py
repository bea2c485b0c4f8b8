"""Opening of several networks to compare, with unique names, and fingerprints of networks."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from mmdecouple.networks.network import Network, open_network
from mmdecouple.utils.errors import UserError


def open_networks(
    specs: Sequence[str], names: Sequence[str] | None = None, *, taken: Sequence[str] = (), **settings: Any
) -> dict[str, Network]:
    """Opens several networks and gives them names for legends and files.

    Args:
        specs: Specifications, see `open_network`.
        names: One name per network; None for the names of the networks.
        taken: Names of files that the tool writes itself.
        **settings: Other arguments of `open_network`.

    Returns:
        Name -> network.

    Raises:
        UserError: The number of names differs from that of networks, two names are equal, or a name is in `taken`.
    """
    if names and len(names) != len(specs):
        raise UserError(f'{len(names)} names for {len(specs)} networks; give one name per network (--names).')
    opened = [open_network(spec, **settings) for spec in specs]
    names = [re.sub(r'[^\w.+-]+', '-', name) for name in names or [network.name for network in opened]]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'Two networks are called {name}; give them different --names.')
        if name in taken:
            raise UserError(
                f'A network cannot be called {name}, like a file of this tool; choose another name (--names).'
            )
    return dict(zip(names, opened))


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
