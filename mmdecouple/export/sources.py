"""Networks to export: their stored tensors, and the opened network that the authors of a method transfer."""

from typing import Any

from mmdecouple.networks.foreign import TimmBackbone
from mmdecouple.networks.network import Network, open_network, weight_file
from mmdecouple.networks.projected import PROJECTED
from mmdecouple.weights.conversion import transferred
from mmdecouple.weights.weight_files import read_weights


def read_source(spec: str, allow_pickle: bool = False) -> dict[str, Any]:
    """Returns the content of the weight file of a network, or the tensors of an untrained network.

    Args:
        spec: Specification of the network, see `open_network`.
        allow_pickle: See `read_weights`.

    Raises:
        UserError: See `open_network` and `read_weights`.
    """
    file = weight_file(spec)
    if file is not None:
        return read_weights(str(file), allow_pickle)
    model = open_network(spec, allow_pickle=allow_pickle).model.cpu()
    backbone = model.measured_backbone
    if isinstance(backbone, TimmBackbone):
        return backbone.model.state_dict()
    return dict(state_dict=model.state_dict())


def shown_source(spec: str) -> str:
    """Returns the name of the weights of a network in messages."""
    return repr(str(weight_file(spec) or spec))


def open_source(
    spec: str, content: dict[str, Any], role: str | None = None, allow_pickle: bool = False
) -> tuple[Network, str | None]:
    """Opens the network to export on the CPU.

    Args:
        spec: See `read_source`.
        content: Result of `read_source`.
        role: `teacher` or `student`; None for the network that the authors of the method transfer.
        allow_pickle: See `open_network`.

    Returns:
        The network and its role; None for a network without a role.

    Raises:
        UserError: See `open_network` and `transferred`.
    """
    if role is None and not spec.startswith(('timm:', PROJECTED)):
        role = transferred(content, shown_source(spec))
    network = open_network(spec, measured=role, allow_pickle=allow_pickle)
    network.model.cpu()
    return network, role
