"""Backbone as a module without OpenMMLab's interface: images in, named feature maps out."""

from collections import OrderedDict

from torch import Tensor, nn

from mmdecouple.models import DenseViT
from mmdecouple.models.backbones import stage_maps
from mmdecouple.networks.foreign import TimmBackbone
from mmdecouple.networks.network import Network
from mmdecouple.networks.projected import ProjectedBackbone
from mmdecouple.utils.errors import UserError


class Features(nn.Module):
    """Backbone of an opened network with its normalization.

    Args:
        network: Result of `open_network`; its modules are shared, not copied.

    Attributes:
        outputs: Names of the outputs, in order. A ViT has `class_token` (B, C) and `patches` (B, C, h, w), after the
            final norm; a ResNet its stages `c2` to `c5` (B, C_i, h_i, w_i) at strides 4 to 32 and, for SoCo with a
            pyramid, the levels `p2` to `p5`; a CNN of timm and a network with a projection their last map, `map`.
        multiple: Height and width of images must be multiples of this number.
        kind: `ViT`, `ResNet`, `timm` or `projected`.

    Raises:
        UserError: The backbone is of another kind.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        model = network.model
        self.backbone = backbone = model.measured_backbone
        preprocessor = model.data_preprocessor
        self.register_buffer('mean', preprocessor.mean.detach().clone() / 255)
        self.register_buffer('std', preprocessor.std.detach().clone() / 255)
        self.pyramid: nn.Module | None = None
        self.multiple = 1
        if isinstance(backbone, DenseViT):
            self.kind, self.multiple, self.outputs = 'ViT', backbone.stride, ('class_token', 'patches')
        elif isinstance(backbone, TimmBackbone):
            vit = backbone.has_class_token
            self.kind, self.multiple = 'timm', backbone.stride
            self.outputs = ('class_token', 'patches') if vit else ('map',)
        elif isinstance(backbone, ProjectedBackbone):
            self.kind, self.multiple, self.outputs = 'projected', backbone.stride, ('map',)
        elif hasattr(backbone, 'res_layers'):
            owner = model if getattr(model, 'backbone', None) is backbone else getattr(model, 'teacher', None)
            self.pyramid = getattr(getattr(owner, 'neck', None), 'pyramid', None)
            levels = range(2, 2 + len(backbone.res_layers))
            self.kind, self.outputs = 'ResNet', tuple(f'c{level}' for level in levels)
            if self.pyramid is not None:
                self.outputs += tuple(f'p{level}' for level in levels)
        else:
            raise UserError(
                f'{network.name}: a backbone {type(backbone).__name__} cannot be exported, only a ViT, a ResNet or a '
                'model of timm.'
            )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Returns the outputs by name.

        Args:
            images: RGB in [0, 1], float32 (B, 3, H, W), where H and W are multiples of `multiple`.

        Raises:
            UserError: H or W is not such a multiple.
        """
        height, width = images.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f'images of {height} x {width} pixels do not divide into patches of {self.multiple} pixels; resize or '
                'pad them.'
            )
        images = (images - self.mean) / self.std
        if self.kind == 'ViT':
            tokens = self.backbone(images)[0]
            grid = height // self.multiple, width // self.multiple
            found = [tokens[:, 0], self.backbone.patch_map(tokens, grid)]
        elif self.kind == 'projected':
            found = self.backbone.dense_maps(images, [None])
        elif self.kind == 'timm':
            found = self._of_timm(images)
        else:
            found = stage_maps(self.backbone, images)[1:]
            if self.pyramid is not None:
                found += list(self.pyramid(OrderedDict(enumerate(found))).values())
        return dict(zip(self.outputs, found))

    def _of_timm(self, images: Tensor) -> list[Tensor]:
        if len(self.outputs) == 1:
            return [self.backbone.dense_map(images)]
        last = len(self.backbone.layer_strides) - 1
        ((patches, prefix),) = self.backbone.outputs(images, [last], norm=True, prefix_tokens=True)
        return [prefix[:, 0], patches]
