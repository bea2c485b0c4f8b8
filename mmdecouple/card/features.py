"""Features of a network that are read once for several measures: the last map and four taps."""

import hashlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdecouple.models.backbones import DenseViT, finite_map
from mmdecouple.networks.foreign import TimmBackbone

TAPS = 4
_BYTES = 4 << 30

# Normalized images (B, 3, H, W) -> the last map, and the maps of the taps.
Reader = Callable[[Tensor], tuple[Tensor, list[Tensor]]]


def tap_reader(model: nn.Module) -> tuple[Reader, str] | None:
    """Returns how the last map and four taps of a network are read in one forward pass.

    The taps of a ViT are its last four blocks, each after the final norm, as in DINOv2's evaluation; those of a CNN are
    its last four stages. The last tap is the last map.

    Args:
        model: Algorithm or `ForeignNetwork`.

    Returns:
        The reader and the names of the taps; None for a backbone whose layers cannot be read.

    Source: `facebookresearch/dinov2` `get_intermediate_layers(n=4, norm=True)`.
    """
    backbone = model.measured_backbone
    if isinstance(backbone, TimmBackbone):
        return _timm_reader(backbone)
    if isinstance(backbone, DenseViT):
        blocks = list(backbone.layers)[-TAPS:]

        def finish(tokens: Tensor, last: Tensor) -> Tensor:
            return backbone.patch_map(backbone.ln1(tokens), last.shape[2:])

        return _hooked_reader(model, blocks, finish), f'blocks {_span(len(backbone.layers))}, after the final norm'
    if hasattr(backbone, 'res_layers'):
        names = backbone.res_layers[-TAPS:]
        stages = [getattr(backbone, name) for name in names]
        return _hooked_reader(model, stages, lambda stage, last: stage), f'stages {", ".join(names)}'
    return None


def _span(depth: int) -> str:
    return f'{max(depth - TAPS, 0) + 1} to {depth}'


def _timm_reader(backbone: TimmBackbone) -> tuple[Reader, str]:
    names = list(backbone.layer_strides)
    numbered = names == [str(number) for number in range(1, len(names) + 1)]
    chosen = list(range(len(names)))[-TAPS:]

    def read(images: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps = backbone.outputs(images, chosen, norm=True)
        return maps[-1], maps

    normed = not isinstance(getattr(backbone.model, 'norm', None), (nn.Identity, type(None)))
    return read, (
        f'blocks {_span(len(names))}{", after the final norm" if normed else ""}'
        if numbered
        else f'stages {", ".join(names[index] for index in chosen)}'
    )


def _hooked_reader(model: nn.Module, modules: list[nn.Module], finish: Callable[[Tensor, Tensor], Tensor]) -> Reader:
    """Returns a reader of the outputs of modules, which `finish` converts to maps, given the last map."""

    def read(images: Tensor) -> tuple[Tensor, list[Tensor]]:
        outputs: list[Tensor] = []
        hooks = [module.register_forward_hook(lambda *seen: outputs.append(seen[-1])) for module in modules]
        try:
            last = model.dense_features(images)
        finally:
            for hook in hooks:
                hook.remove()
        return last, [finish(output, last) for output in outputs]

    return read


class FeatureStore:
    """Maps of images, each computed once; those of the first images are kept, up to 4 GiB.

    Args:
        model: Algorithm or `ForeignNetwork` in evaluation mode.

    Attributes:
        taps: Names of the taps; None if they cannot be read.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._reader, self.taps = tap_reader(model) or (None, None)
        self._maps: dict[bytes, tuple[Tensor, Tensor]] = {}
        self._used = 0

    @torch.no_grad()
    def read(self, images: Tensor, taps: bool) -> Tensor:
        """Returns the maps of a batch of images.

        Args:
            images: Normalized images `(B, 3, H, W)`.
            taps: Whether to return the taps, resized to the positions of the last map and concatenated.

        Returns:
            float32 `(B, C, h, w)`.

        Raises:
            UserError: A feature is not finite.
        """
        keys = [hashlib.blake2b(image.cpu().contiguous().numpy().tobytes()).digest() for image in images]
        missing = [index for index, key in enumerate(keys) if key not in self._maps]
        fresh = {}
        if missing:
            for index, maps in zip(missing, zip(*self._compute(images[missing]))):
                fresh[keys[index]] = maps
        found = torch.stack([(fresh.get(key) or self._maps[key])[taps].to(images.device) for key in keys])
        for key, maps in fresh.items():
            size = sum(part.numel() * part.element_size() for part in maps)
            if self._used + size <= _BYTES:
                self._maps[key] = tuple(part.cpu() for part in maps)
                self._used += size
        return found

    def _compute(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self._reader is None:
            last = self.model.dense_features(images)
            return last, last
        last, taps = self._reader(images)
        # Stages of a CNN have more positions than the last map.
        taps = torch.cat([F.adaptive_avg_pool2d(tap, last.shape[2:]) for tap in taps], dim=1)
        return finite_map(last), finite_map(taps)


class StoredNetwork(nn.Module):
    """A network as segmentation measures read it, with maps from a store.

    Args:
        store: The store.
        taps: See `FeatureStore.read`.
    """

    def __init__(self, store: FeatureStore, taps: bool = False) -> None:
        super().__init__()
        self.model, self.store, self.taps = store.model, store, taps
        self.data_preprocessor = store.model.data_preprocessor

    def dense_features(self, images: Tensor) -> Tensor:
        """Returns the maps of normalized images, see `FeatureStore.read`."""
        return self.store.read(images, self.taps)
