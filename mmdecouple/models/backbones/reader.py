"""Reading of dense maps from the measured backbone of a network, at one layer or at several in one pass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .dense_map import check_grid, dense_maps, finite_map, measured_stride


class DenseReader:
    """Base class of networks whose dense maps are read by measures and maps.

    Attributes:
        layer: Layer of the backbone that `dense_features` reads, see `dense_maps`; None for the last.
    """

    layer: str | None = None

    @property
    def measured_backbone(self) -> nn.Module:
        """Backbone that is read."""
        raise NotImplementedError

    def dense_features(self, images: Tensor, mask: Tensor | None = None, class_token: bool = False) -> Tensor:
        """Returns the map of images at `layer`, (B, C, h, w), in float32; see `layer_features`."""
        return self.layer_features(images, [self.layer], mask, class_token)[0]

    @torch.no_grad()
    def layer_features(
        self, images: Tensor, layers: Sequence[str | None], mask: Tensor | None = None, class_token: bool = False
    ) -> list[Tensor]:
        """Returns the maps of images at several layers from one pass, (B, C, h, w) each, in float32.

        Args:
            images: Normalized images, (B, 3, H, W).
            layers: Layers of the backbone, see `dense_maps`.
            mask: Patches that the mask token replaces, bool (B, h, w), for networks with a mask token.
            class_token: Whether to read the class tokens instead, as maps of one cell, for networks with a class token.

        Raises:
            UserError: The backbone lacks what is requested, a map does not have the stride that is stated for it, or
                a feature is not finite.
        """
        backbone = self.measured_backbone
        maps = dense_maps(backbone, images, layers, mask, class_token)
        if not class_token:
            for layer, found in zip(layers, maps):
                check_grid(found, images, measured_stride(backbone, layer) or getattr(self, 'dense_stride', None))
        return [finite_map(found, layer) for found, layer in zip(maps, layers)]
