"""Networks that were not trained here, made to look like ours to the analysis tools."""

import re
import sys
from collections.abc import Collection
from contextlib import redirect_stdout
from difflib import get_close_matches
from io import StringIO
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdecouple.models import DensePreprocessor, DenseViT
from mmdecouple.models.backbones import dense_map, finite_map, measured_stride, predict_maps
from mmdecouple.models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from mmdecouple.models.teachers.frozen import CLIP_MEAN, CLIP_STD
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.roles import held_networks
from mmdecouple.weights.formats.vit import ViTWeights, vit_arch
from mmdecouple.weights.formats.vit_reading import pick

# Tensors of classifiers and of pre-training heads; anything else that timm's model lacks is another architecture.
_BESIDE = (
    'head',
    'head_dist',
    'fc',
    'fc_norm',
    'classifier',
    'pre_logits',
    'mask_token',
    'masked_embed',
    'local_cls_norm',
)
_EPS = dict(clip=1e-5, huggingface=1e-12)
_LIMIT = 6
# Models whose blocks stand in stages have two numbers in their names, as DINOv2's chunks do.
_STAGED = re.compile(r'blocks\.\d+\.\d+\.')


class ForeignNetwork(BaseModel):
    """A backbone with the interface of an algorithm of ours that the measures and the maps use.

    Args:
        backbone: Module that `dense_map` can read and that says its stride.
        mean: Channel means of RGB in [0, 255] that the backbone expects, (3,).
        std: Channel standard deviations of RGB, in the same unit, (3,).

    Attributes:
        layer: Layer of the backbone that is read, as `dense_map` names it; None for the last.
    """

    layer: str | None = None

    def __init__(
        self, backbone: nn.Module, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
    ) -> None:
        super().__init__(DensePreprocessor(mean, std))
        self.backbone = backbone

    @property
    def measured_backbone(self) -> nn.Module:
        """The only backbone."""
        return self.backbone

    @property
    def cell(self) -> int:
        """Pixels of an image per dense position."""
        return measured_stride(self.backbone, self.layer)

    @torch.no_grad()
    def dense_features(self, images: Tensor, mask: Tensor | None = None, class_token: bool = False) -> Tensor:
        """Map (B, C, h, w) float32 of normalized images (B, 3, H, W); `mask` and `class_token` as for `dense_map`."""
        height, width = images.shape[-2:]
        if height % self.cell or width % self.cell:
            raise UserError(
                f'An image of {height} x {width} pixels does not divide into cells of {self.cell} pixels, '
                'as this network needs; take a multiple of it (tools: --size).'
            )
        return finite_map(dense_map(self.backbone, images, mask, self.layer, class_token))

    def forward(
        self, inputs: list[Tensor], data_samples: list[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> list[Tensor] | list[BaseDataElement]:
        """Maps of images (3, H, W) of any sizes, as `predict_maps` gives them; there is no mode `loss`."""
        return predict_maps(self.dense_features, inputs, data_samples, mode)


class TimmBackbone(nn.Module):
    """A model of timm whose features are a map: the last after the final norm, without class and register tokens.

    Attributes:
        stride: Pixels of an image per position of the last map.
        layer_strides: The same by layer: blocks of a ViT by number from 1, other places by timm's names.
        has_class_token: Whether `dense_map` can read one.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        places = [(place['module'], place['reduction']) for place in model.feature_info]
        self.stride = places[-1][1]
        numbered = places == [(f'blocks.{index}', self.stride) for index in range(len(places))]
        self.layer_strides = {
            str(number) if numbered else name: stride for number, (name, stride) in enumerate(places, 1)
        }
        self.has_class_token = numbered and getattr(model, 'cls_token', None) is not None

    def dense_map(self, images: Tensor, layer: str | None = None, class_token: bool = False) -> Tensor:
        """Map (B, C, h, w) of normalized images (B, 3, H, W): the last, or the plain output of a layer.

        With `class_token` that token of the place instead, (B, C, 1, 1).
        """
        indices = 1 if layer is None else [list(self.layer_strides).index(layer)]
        asked = dict(return_prefix_tokens=True) if class_token else {}
        try:
            (found,) = self.model.forward_intermediates(
                images, indices=indices, norm=layer is None, output_fmt='NCHW', intermediates_only=True, **asked
            )
            return found[1][:, 0, :, None, None] if class_token else found
        except AssertionError as error:
            # Some of timm's models, such as BEiT, are made for images of one size.
            raise UserError(
                f'timm cannot show {images.shape[-2]} x {images.shape[-1]} pixels to this '
                f'{type(self.model).__name__}: {error}'
            ) from error


def timm_network(
    name: str, content: dict[str, Any] | None = None, where: str = '', role: str | None = None
) -> ForeignNetwork:
    """A model of timm for images of any size that its patch divides.

    Args:
        name: Its name in timm, such as `vit_small_patch14_reg4_dinov2`.
        content: What a weight file in timm's or the authors' format holds; None leaves the weights random.
        where: What to call the file in messages.
        role: `teacher` or `student`, for files that hold both; None for the teacher there.

    Raises:
        ValueError: timm has no such model; it gives no dense map; the weights are not those of this architecture.
    """
    import timm

    if not timm.is_model(name):
        close = ', '.join(get_close_matches(name, timm.list_models(), n=3, cutoff=0.5))
        raise UserError(
            f'timm {timm.__version__} has no model {name!r}'
            + (f'; close names: {close}.' if close else '; timm.list_models() lists its names.')
        )
    try:
        model = timm.create_model(name, num_classes=0, dynamic_img_size=True)
    except TypeError:
        model = timm.create_model(name, num_classes=0)
    if not hasattr(model, 'forward_intermediates'):
        raise UserError(f'timm:{name} gives no dense map (its class has no forward_intermediates); take another model.')
    if content is not None:
        _load_timm(model, content, where, role, name)
    expected = timm.data.resolve_model_data_config(model)
    mean, std = (tuple(255 * value for value in expected[key]) for key in ('mean', 'std'))
    return ForeignNetwork(TimmBackbone(model), mean, std)


def vit_network(weights: ViTWeights, where: str) -> ForeignNetwork:
    """A `DenseViT` of the sizes that the weights of a published format have.

    Args:
        weights: As `to_ours` gives them.
        where: What to call the file in messages.

    Raises:
        ValueError: The number of heads cannot be told from the width.
    """
    arch = vit_arch(weights.backbone)
    if 'num_heads' not in arch:
        raise UserError(
            f'{where}: a ViT {arch["embed_dims"]} wide is no published size, so its number of heads is '
            'not known; name a config that says it (CONFIG.py=FILE).'
        )
    patch, grid, pre_norm = (arch.pop(key) for key in ('patch_size', 'grid', 'pre_norm'))
    clip = weights.format == 'clip'
    backbone = DenseViT(
        arch,
        img_size=patch * grid,
        patch_size=patch,
        pre_norm=pre_norm,
        mask_token='mask_token' in weights.backbone,
        norm_cfg=dict(type='LN', eps=_EPS.get(weights.format, 1e-6)),
        layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')) if clip else {},
    )
    backbone.load_state_dict(weights.backbone)
    return ForeignNetwork(backbone, *((CLIP_MEAN, CLIP_STD) if clip else ()))


def _load_timm(model: nn.Module, content: dict[str, Any], where: str, role: str | None, name: str) -> None:
    state = _state_for(model, content, where, role)
    embed = 'patch_embed.proj.weight'
    theirs, ours = (weights[embed].shape[2:] if embed in weights else None for weights in (state, model.state_dict()))
    if theirs and ours and theirs != ours:
        # timm would resample them.
        raise UserError(
            f'{where} has patches of {theirs[0]} pixels, but those of timm:{name} have {ours[0]}; name '
            'the architecture that the weights have.'
        )
    convert = getattr(sys.modules[type(model).__module__], 'checkpoint_filter_fn', None)
    try:
        # For DINOv3 timm prints a line a block.
        with redirect_stdout(StringIO()):
            state = convert(state, model) if convert else state
    except Exception as error:
        # What is written for the weights of one model meets those of any other here.
        raise UserError(
            f'{where} does not fit timm:{name}: timm cannot convert its tensors '
            f'({type(error).__name__}: {next(iter(str(error).splitlines()), "")}).'
        ) from error
    own = model.state_dict()
    missing = [key for key in own if key not in state and not key.endswith('num_batches_tracked')]
    reshaped = [key for key in own if key in state and own[key].shape != state[key].shape]
    foreign = [key for key in state if key not in own and key.partition('.')[0] not in _BESIDE]
    found = ', '.join(
        f'{len(keys)} {what} ({", ".join(keys[:_LIMIT])}{" ..." if len(keys) > _LIMIT else ""})'
        for what, keys in (('missing', missing), ('of another shape', reshaped), ('unknown', foreign))
        if keys
    )
    if found:
        raise UserError(f'{where} does not fit timm:{name}: {found}; name the architecture that the weights have.')
    model.load_state_dict({**own, **{key: value for key, value in state.items() if key in own}})


def _state_for(model: nn.Module, content: dict[str, Any], where: str, role: str | None) -> dict[str, Tensor]:
    """The tensors of a file, by names without what precedes them all, that are those of one network like the model."""
    own = list(model.state_dict())

    def prefixes(names: Collection[str]) -> list[str]:
        ends = ((key, [name for name in names if name == key or name.endswith(f'.{key}')]) for key in own)
        found = next(([name.removesuffix(key) for name in hits] for key, hits in ends if hits), [])
        # A part of a network can hold tensors of the same names, but not most of them.
        counts = {prefix: sum(f'{prefix}{key}' in names for key in own) for prefix in found}
        return [prefix for prefix, count in counts.items() if 2 * count > max(counts.values())]

    networks = held_networks(content, prefixes, where, chunks=not any(map(_STAGED.match, own)))
    if not networks:
        raise UserError(
            f'{where} does not fit timm:{model.default_cfg.get("architecture", type(model).__name__)}: it '
            'holds none of its tensors; name the architecture that the weights have.'
        )
    network, _ = pick(networks, role, where)
    return {
        key.removeprefix(network.prefix): value
        for key, value in network.state.items()
        if key.startswith(network.prefix)
    }
