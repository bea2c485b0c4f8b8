"""Networks of other projects, with the interface that the analysis tools use."""

import re
import sys
from collections.abc import Collection, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from io import StringIO
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdecouple.models import DensePreprocessor
from mmdecouple.models.backbones import DenseReader, measured_stride, predict_maps
from mmdecouple.models.data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.roles import held_networks
from mmdecouple.weights.formats.vit_reading import pick

# Tensors of classifiers and of pre-training heads; other tensors that timm's model lacks indicate another architecture.
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
_LIMIT = 6
# What timm says of Hiera's maps, also those of SAM 2.
_NO_NORM = 'normalization of features not supported'
# Names of models with blocks in stages have two numbers, like those of DINOv2's chunks.
_STAGED = re.compile(r'blocks\.\d+\.\d+\.')


class ForeignNetwork(DenseReader, BaseModel):
    """Backbone with the interface of an algorithm that measures and maps use.

    Args:
        backbone: Module with a known stride that `dense_map` can read.
        mean: Channel means of RGB that the backbone expects, `(3,)` in [0, 255].
        std: Channel standard deviations of RGB, `(3,)` in the same unit.
    """

    def __init__(
        self, backbone: nn.Module, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
    ) -> None:
        super().__init__(DensePreprocessor(mean, std))
        self.backbone = backbone

    @property
    def measured_backbone(self) -> nn.Module:
        """The backbone."""
        return self.backbone

    @property
    def cell(self) -> int:
        """Pixels of an image per dense position."""
        return measured_stride(self.backbone, self.layer)

    @torch.no_grad()
    def layer_features(
        self, images: Tensor, layers: Sequence[str | None], mask: Tensor | None = None, class_token: bool = False
    ) -> list[Tensor]:
        """See `DenseReader`; a `UserError` is also raised if the images do not divide into the cells of a layer."""
        height, width = images.shape[-2:]
        for cell in (measured_stride(self.backbone, layer) for layer in layers):
            if height % cell or width % cell:
                raise UserError(
                    f'An image of {height} x {width} pixels does not divide into the cells of {cell} pixels '
                    'of this network; use a multiple of the cell (tools: --size).'
                )
        return super().layer_features(images, layers, mask, class_token)

    def forward(
        self, inputs: list[Tensor], data_samples: list[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> list[Tensor] | list[BaseDataElement]:
        """Returns the maps of images `(3, H, W)` of any sizes, see `predict_maps`; the mode `loss` is not supported."""
        return predict_maps(self.dense_features, inputs, data_samples, mode)


class TimmBackbone(nn.Module):
    """Model of timm that returns dense maps: by default the last after the final norm, without other tokens.

    Args:
        model: Model with `forward_intermediates` and `feature_info`.

    Attributes:
        stride: Pixels of an image per position of the last map.
        layer_strides: Layer -> stride; blocks of a ViT are numbered from 1, other layers have timm's names, followed by
            `/` and their stride where several maps have one name.
        has_class_token: Whether `dense_map` can return the class token.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        places = [(place['module'], place['reduction']) for place in model.feature_info]
        self.stride = places[-1][1]
        numbered = places == [(f'blocks.{index}', self.stride) for index in range(len(places))]
        modules = [module for module, _ in places]
        # CoaT's parallel blocks give three maps of one name.
        named = [f'{name}/{stride}' if modules.count(name) > 1 else name for name, stride in places]
        names = [str(number) for number in range(1, len(places) + 1)] if numbered else named
        self.layer_strides = dict(zip(names, (stride for _, stride in places)))
        self.has_class_token = numbered and getattr(model, 'cls_token', None) is not None

    def dense_maps(self, images: Tensor, layers: Sequence[str | None], class_token: bool = False) -> list[Tensor]:
        """Returns the dense maps of several layers; the last map of a CNN beside others takes a second pass.

        Args:
            images: Normalized images `(B, 3, H, W)`.
            layers: Keys of `layer_strides`, whose plain outputs are returned, or None for the last map after the final
                norm.
            class_token: Whether to return the class tokens of these layers, `(B, C, 1, 1)`, instead of the maps.

        Returns:
            Map `(B, C, h, w)` of each layer.

        Raises:
            UserError: The model does not support images of this size.
        """
        names = [layer for layer in layers if layer is not None]
        last = list(self.layer_strides)[-1]
        # The final norm of a ViT treats each token alone, so it can follow the plain output of the last block.
        norm = getattr(self.model, 'norm', None) if last.isdecimal() else None
        shared = None in layers and bool(names) and norm is not None
        found = self._intermediates(images, [*names, *[last] * shared], class_token) if names else {}
        if shared:
            found[None] = norm(found[last].movedim(1, -1)).movedim(-1, 1)
        elif None in layers:
            found[None] = self._intermediates(images, [last], class_token, norm=True)[last]
        return [found[layer] for layer in layers]

    def dense_map(self, images: Tensor, layer: str | None = None, class_token: bool = False) -> Tensor:
        """Returns the dense map of one layer, `(B, C, h, w)`; see `dense_maps`."""
        return self.dense_maps(images, [layer], class_token)[0]

    def _intermediates(
        self, images: Tensor, names: Sequence[str], class_token: bool, norm: bool = False
    ) -> dict[str | None, Tensor]:
        known = list(self.layer_strides)
        # timm returns every layer once, in their order.
        indices = sorted({known.index(name) for name in names})
        found = self.outputs(images, indices, norm, prefix_tokens=class_token)
        maps = [prefix[:, 0, :, None, None] for _, prefix in found] if class_token else found
        return {known[index]: found for index, found in zip(indices, maps)}

    def outputs(self, images: Tensor, indices: Sequence[int], norm: bool, prefix_tokens: bool = False) -> list:
        """Returns outputs of timm's `forward_intermediates` in their order.

        Args:
            images: See `dense_maps`.
            indices: Positions of the layers in `layer_strides`, ascending.
            norm: Whether to apply the final norm; Hiera has none for maps, so that its plain outputs are returned.
            prefix_tokens: Whether to return pairs of a map and its other tokens `(B, N, C)` instead of maps.

        Raises:
            UserError: The model does not support images of this size.
        """
        options = dict(return_prefix_tokens=True) if prefix_tokens else {}
        try:
            return self.model.forward_intermediates(
                images, indices=indices, norm=norm, output_fmt='NCHW', intermediates_only=True, **options
            )
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, IndexError, RuntimeError) as error:
            reason = str(error).partition('\n')[0]
            if norm and reason == _NO_NORM:
                return self.outputs(images, indices, False, prefix_tokens)
            # Models with fixed positions or windows, such as BEiT and PiT, support images of one size only.
            height, width = images.shape[-2:]
            raise UserError(
                f'timm cannot process {height} x {width} pixels with this {type(self.model).__name__}, which is made '
                f'for {" x ".join(map(str, self.made_for))} pixels: {reason or type(error).__name__}'
            ) from error

    @property
    def made_for(self) -> tuple[int, int]:
        """Height and width in pixels of the images of its pre-training."""
        return tuple(self.model.pretrained_cfg['input_size'][1:])


def timm_network(
    name: str, content: dict[str, Any] | None = None, where: str = '', role: str | None = None
) -> ForeignNetwork:
    """Builds a model of timm, for images of any size that is divisible by its patch.

    Args:
        name: Name in timm, such as `vit_small_patch14_reg4_dinov2`.
        content: Content of a weight file in timm's or the authors' format; None for random weights.
        where: Name of the file in messages.
        role: `teacher` or `student`, for files that hold both; None for the teacher.

    Raises:
        UserError: timm has no such model, the model has no dense map, or the weights have another architecture.
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
        raise UserError(f'timm:{name} has no dense map (its class has no forward_intermediates); choose another model.')
    if content is not None:
        _load_timm(model, content, where, role, name)
    expected = timm.data.resolve_model_data_config(model)
    mean, std = (tuple(255 * value for value in expected[key]) for key in ('mean', 'std'))
    return ForeignNetwork(TimmBackbone(model), mean, std)


def _load_timm(model: nn.Module, content: dict[str, Any], where: str, role: str | None, name: str) -> None:
    state = loaded = _state_for(model, content, where, role)
    embed = 'patch_embed.proj.weight'
    theirs, ours = (weights[embed].shape[2:] if embed in weights else None for weights in (state, model.state_dict()))
    if theirs and ours and theirs != ours:
        # timm would resample the patches.
        raise UserError(
            f'{where} has patches of {theirs[0]} pixels, but those of timm:{name} have {ours[0]}; name '
            'the architecture of the weights.'
        )
    convert = getattr(sys.modules[type(model).__module__], 'checkpoint_filter_fn', None)
    try:
        # For DINOv3, timm prints one line per block.
        with redirect_stdout(StringIO()):
            state = convert(state, model) if convert else state
    except Exception as error:
        # The conversion is written for weights of one model and may fail in any way for others.
        raise UserError(
            f'{where} does not fit timm:{name}: timm cannot convert its tensors '
            f'({type(error).__name__}: {next(iter(str(error).splitlines()), "")}).'
        ) from error
    _check_biases(loaded, state, where, name)
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
        raise UserError(f'{where} does not fit timm:{name}: {found}; name the architecture of the weights.')
    model.load_state_dict({**own, **{key: value for key, value in state.items() if key in own}})


def _check_biases(loaded: dict[str, Tensor], state: dict[str, Tensor], where: str, name: str) -> None:
    """Checks that no bias of queries and values was dropped, as timm does for DINOv3's architectures without them."""
    for key, bias in loaded.items():
        if not key.endswith('attn.qkv.bias') or key in state or key.replace('qkv.bias', 'q_bias') in state:
            continue
        queries, _, values = bias.chunk(3)
        if queries.any() or values.any():
            raise UserError(
                f'{where} does not fit timm:{name}: it has biases of queries and values ({key}), which this '
                f'architecture lacks; name the one with them, timm:{name}_qkvb.'
            )


def _state_for(model: nn.Module, content: dict[str, Any], where: str, role: str | None) -> dict[str, Tensor]:
    """Returns the tensors of the network in a file that matches the model, by names without their common prefix."""
    own = list(model.state_dict())

    def prefixes(names: Collection[str]) -> list[str]:
        ends = ((key, [name for name in names if name == key or name.endswith(f'.{key}')]) for key in own)
        found = next(([name.removesuffix(key) for name in hits] for key, hits in ends if hits), [])
        # A part of a network may hold tensors with the same names, but not most of them.
        counts = {prefix: sum(f'{prefix}{key}' in names for key in own) for prefix in found}
        return [prefix for prefix, count in counts.items() if 2 * count > max(counts.values())]

    networks = held_networks(content, prefixes, where, chunks=not any(map(_STAGED.match, own)))
    if not networks:
        raise UserError(
            f'{where} does not fit timm:{model.default_cfg.get("architecture", type(model).__name__)}: it '
            'holds none of its tensors; name the architecture of the weights.'
        )
    network, _ = pick(networks, role, where)
    return {
        key.removeprefix(network.prefix): value
        for key, value in network.state.items()
        if key.startswith(network.prefix)
    }
