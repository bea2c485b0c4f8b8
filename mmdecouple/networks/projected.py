"""Networks whose features are projected: a subspace of their channels is removed, as by `remove-position`."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmdecouple.models.backbones import dense_maps, measured_stride
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.weight_files import read_weights, write_weights

from .foreign import ForeignNetwork

PROJECTED = 'projected:'
_FORMAT = 'mmdecouple-projection/1'
_ORTHONORMAL = 1e-5


@dataclass(frozen=True)
class Projection:
    """Orthogonal projection of the features of one network, by the subspace that it removes.

    Attributes:
        basis: Orthonormal basis of the removed subspace, `(C, k)`.
        weights_sha256: Digest of the weights of the backbone whose features it fits, see `backbone_digest`.
        layer: Layer of these features, see `dense_maps`; None for the last.
        measured: `teacher` or `student`, if the network was chosen; None for the default.
        facts: What it was fitted on, as plain values.
    """

    basis: Tensor
    weights_sha256: str
    layer: str | None = None
    measured: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Writes the projection to a file of tensors and plain values."""
        write_weights(str(path), dict(format=_FORMAT, **asdict(self)))

    @classmethod
    def read(cls, path: str) -> 'Projection':
        """Reads the projection in a file; nothing in it runs.

        Raises:
            UserError: The file does not exist or holds no projection.
        """
        content = read_weights(path)
        if content.pop('format', None) != _FORMAT:
            raise UserError(f'{path} holds no projection; name a file that `mmdecouple remove-position` has written.')
        try:
            projection = cls(**content)
            basis = projection.basis.double()
            valid = basis.dim() == 2 and 0 < basis.shape[1] < basis.shape[0]
            excess = (basis.T @ basis - torch.eye(basis.shape[1])).abs().max() if valid else torch.inf
        except (AttributeError, TypeError, RuntimeError):
            excess = torch.inf
        if not excess < _ORTHONORMAL:
            raise UserError(f'{path} is damaged: its basis is not orthonormal; write it again.')
        return projection


class ProjectedBackbone(nn.Module):
    """Backbone whose dense map is projected onto the complement of a subspace: z -> z - B B^T z at every position.

    Args:
        backbone: Backbone that `dense_maps` can read.
        basis: Orthonormal basis B of the subspace, `(C, k)`.
        layer: Layer of the backbone that is read; None for the last.

    Attributes:
        stride: Pixels of an image per position.
        has_class_token: Whether the class token can be read, which is projected too.
    """

    def __init__(self, backbone: nn.Module, basis: Tensor, layer: str | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.layer = layer
        self.stride = measured_stride(backbone, layer)
        self.has_class_token = getattr(backbone, 'has_class_token', False)
        self.register_buffer('basis', basis.float())

    @property
    def mask_token(self) -> Tensor | None:
        """Mask token of the backbone; None without one."""
        return getattr(self.backbone, 'mask_token', None)

    def dense_maps(
        self, images: Tensor, layers: Sequence[None], mask: Tensor | None = None, class_token: bool = False
    ) -> list[Tensor]:
        """Returns the projected map, (B, C, h, w), once for each of `layers`, which are None; see `dense_maps`."""
        (found,) = dense_maps(self.backbone, images, [self.layer], mask, class_token)
        inside = torch.einsum('ck,bchw->bkhw', self.basis, found)
        return [found - torch.einsum('ck,bkhw->bchw', self.basis, inside) for _ in layers]


def split_projected(spec: str) -> tuple[str, str]:
    """Returns file and network of a specification `projected:FILE:NETWORK`.

    Raises:
        UserError: The specification has another form.
    """
    file, _, network = spec.removeprefix(PROJECTED).partition(':')
    if not file or not network or network.startswith(PROJECTED):
        raise UserError(f'{spec} does not have the form {PROJECTED}FILE:NETWORK; name the file and the network.')
    return file, network


def projected(model: nn.Module, projection: Projection, name: str, file: str) -> ForeignNetwork:
    """Returns a network whose features are those of `model` after a projection.

    Args:
        model: Network with `measured_backbone` and `data_preprocessor`.
        projection: Projection of its features.
        name: Name of the network in messages.
        file: Name of the file of the projection in messages.

    Raises:
        UserError: The projection was fitted on other weights.
    """
    backbone = model.measured_backbone
    if backbone_digest(backbone) != projection.weights_sha256:
        raise UserError(
            f'{file} was fitted on other weights than those of {name}; name that network, or fit it again with '
            '`mmdecouple remove-position`.'
        )
    found = ForeignNetwork(ProjectedBackbone(backbone, projection.basis, projection.layer))
    found.data_preprocessor = model.data_preprocessor
    return found


def backbone_digest(backbone: nn.Module) -> str:
    """Returns the SHA-256 of the names and values of the weights of a backbone."""
    found = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        found.update(f'{name} {tuple(value.shape)} {value.dtype}'.encode())
        found.update(value.cpu().contiguous().view(-1).numpy().tobytes())
    return found.hexdigest()
