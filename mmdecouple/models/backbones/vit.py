"""Vision transformer with masked and mixed patches, outputs of single blocks, and dense maps."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import build_2d_sincos_position_embedding, resize_pos_embed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmdecouple.decoupling import DecoupledViews
from mmdecouple.decoupling.cells import enlarge
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.utils.settings import Settings
from mmdecouple.weights.formats.vit import read_vit

_POSITIONS = ('learned', 'sincos')
_SIZES = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')


@MODELS.register_module()
class DenseViT(VisionTransformer):
    """mmpretrain's `VisionTransformer` with a mask token, mixed patch embeddings and outputs of single blocks.

    Attention uses torch's fused kernel; the attention of the class token in the last block is computed on demand from
    the input of that block. Parameters have the names of mmpretrain.

    Args:
        arch: `deit-tiny`, `deit-small`, `base`, `large` (ViT-Ti, S, B, L), or mmpretrain's dict of sizes.
        position: Position embedding: `learned` (iBOT) or the fixed `sincos` (MaskAlign). Both are resized (bicubic, by
            explicit size) for views of another size.
        mask_token: Whether the network has a token that replaces masked patches; it is initialized to zero.
        weights: Local file with initial weights in any format that `read_vit` supports (iBOT, DINO, timm, Hugging Face,
            CLIP, this package), read by `init_weights`. Positions are resized; a missing mask token is set to zero.
        with_cp: Whether each block is recomputed in the backward pass instead of storing its activations.
        **kwargs: Arguments of mmpretrain's class: `img_size`, `patch_size`, `drop_path_rate`, `pre_norm`, ...

    Raises:
        UserError: A value is out of range, the architecture is unknown or mmpretrain's `small` (which is not ViT-S), or
            the patch size does not divide the view.

    Source: `bytedance/ibot models/vision_transformer.py` (initialization, mask token);
        `OpenDriveLab/maskalign models_pretrain.py` (`sincos`, Xavier initialization).
    """

    has_class_token = True

    def __init__(
        self,
        arch: str | dict = 'deit-small',
        position: str = 'learned',
        mask_token: bool = False,
        weights: str | None = None,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        if arch in ('s', 'small'):
            raise UserError(
                "DenseViT: mmpretrain's arch 'small' is 768 wide and 8 blocks deep; ViT-S is "
                "'deit-small' (config key model.backbone.arch)."
            )
        check = Settings(self, 'model.backbone')
        check.choice('position', position, _POSITIONS)
        check.flag('mask_token', mask_token)
        check.flag('with_cp', with_cp)
        check.text('weights', weights, optional=True)
        if isinstance(arch, dict):
            for key in _SIZES:
                check.number(f'arch.{key}', arch.get(key), 1, whole=True)
        else:
            check.choice('arch', arch, [name for name in self.arch_zoo if name not in ('s', 'small')])
        for key in ('drop_path_rate', 'drop_rate'):
            check.number(key, kwargs.get(key, 0.0), 0, below=1)
        for key in ('img_size', 'patch_size'):
            value = kwargs.get(key, 16)
            if isinstance(value, (list, tuple)):
                check.numbers(key, value, 2, minimum=1, whole=True)
            else:
                check.number(key, value, 1, whole=True)
        super().__init__(arch=arch, out_type='raw', **kwargs)
        for module in self.modules():
            if isinstance(module, DropPath):
                # mmpretrain stores a numpy float, which causes a graph break of `torch.compile` in every block.
                module.drop_prob = float(module.drop_prob)
        self.stride = self.patch_embed.projection.stride[0]
        _check_divides(self.img_size, self.stride)
        self.with_cp = with_cp
        self.weights = weights
        self.fixed_position = position == 'sincos'
        self.pos_embed.requires_grad_(not self.fixed_position)
        self.mask_token = nn.Parameter(torch.zeros(1, self.embed_dims)) if mask_token else None

    def init_weights(self) -> None:
        """Initializes as iBOT (truncated normal), or as MAE (Xavier) for fixed positions, then loads `weights`."""
        super().init_weights()
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight) if self.fixed_position else trunc_normal_(
                    module.weight, std=0.02
                )
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.fixed_position:
            # mmpretrain places the half for the row first, MAE and MaskAlign the half for the column.
            position = build_2d_sincos_position_embedding(self.patch_resolution[::-1], self.embed_dims, cls_token=True)
            self.pos_embed.data.copy_(torch.cat(position.chunk(2, dim=2)[::-1], dim=2))
            nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))
            nn.init.normal_(self.cls_token, std=0.02)
        else:
            trunc_normal_(self.cls_token, std=0.02)
        if self.weights is not None:
            self.load_file(self.weights, 'model.backbone.weights')

    def load_file(self, path: str, key: str) -> None:
        """Loads all weights from a local file.

        Args:
            path: File in any format that `read_vit` supports.
            key: Config key of the path, for the error message.

        Raises:
            MissingFile: The file does not exist.
            UserError: The file lacks a weight, or a weight has another shape.
        """
        if not Path(path).is_file():
            raise MissingFile(
                f'DenseViT: the weight file {path!r} does not exist; download it and set the config key {key} to its '
                'path.'
            )
        weights, own = read_vit(path).backbone, self.state_dict()
        missing = [name for name in own if name not in weights and name != 'mask_token']
        reshaped = [
            name for name in own if name in weights and name != 'pos_embed' and own[name].shape != weights[name].shape
        ]
        if missing or reshaped:
            raise UserError(
                f'DenseViT: {path} does not fit the network: {len(missing)} keys missing '
                f'({", ".join(missing[:4])}), {len(reshaped)} of another shape '
                f'({", ".join(reshaped[:4])}) (config key {key}).'
            )
        self.load_state_dict({name: weights.get(name, value) for name, value in own.items()})

    def forward(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        mixed: DecoupledViews | None = None,
        needed: Tensor | None = None,
    ) -> tuple[Tensor]:
        """Computes the tokens after the final norm.

        Args:
            images: Normalized views, (N, 3, H, W).
            mask: Patches to replace by the mask token, bool (N, h, w).
            mixed: Decoupled views to mix from the patch embeddings of `images`; they add D rows, which are not masked.
            needed: Flat indices of the tokens to compute, in [0, N * (1 + P)). The last feed-forward layer and the
                final norm skip all others, which are zero in the output. None for all.

        Returns:
            Tuple of one tensor (N + D, 1 + P, C) with the class token first.

        Raises:
            UserError: The patch size does not divide the view, or the mask is not on the token grid.
        """
        tokens, _ = self.tokens(images, mask, mixed)
        if needed is None:
            return (self.ln1(self.blocks(tokens)[-1]),)
        tokens = self.blocks(tokens, len(self.layers) - 1)[-1]
        return (self._finish(tokens, needed),)

    def tokens(
        self, images: Tensor, mask: Tensor | None = None, mixed: DecoupledViews | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """Returns the input of the first block, (N + D, 1 + P, C), and the patch grid (h, w); see `forward`."""
        _check_divides(images.shape[-2:], self.stride)
        patches, grid = self.patch_embed(images)
        tokens = patches
        if mask is not None:
            if tuple(mask.shape[-2:]) != grid:
                raise UserError(
                    f'DenseViT: a mask of {mask.shape[-2]} x {mask.shape[-1]} cells is not on the grid of '
                    f'{grid[0]} x {grid[1]} tokens of a view of {images.shape[-2]} x {images.shape[-1]} '
                    f'pixels (patch {self.stride}).'
                )
            tokens = torch.where(mask.flatten(1)[..., None], self.mask_token.to(patches.dtype), patches)
        if mixed is not None:
            cut = enlarge(mixed.cut_mask, grid).flatten(1)[..., None]
            background = patches[mixed.partners].detach()
            tokens = torch.cat([tokens, torch.where(cut, background, patches[mixed.rows])])
        tokens = torch.cat([self.cls_token.to(tokens.dtype).expand(tokens.shape[0], -1, -1), tokens], dim=1)
        tokens = tokens + resize_pos_embed(self.pos_embed, self.patch_resolution, grid, self.interpolate_mode)
        return self.pre_norm(self.drop_after_pos(tokens)), grid

    def blocks(self, tokens: Tensor, count: int | None = None) -> list[Tensor]:
        """Returns the outputs of all blocks, or the first `count`, before the final norm, for tokens (N, T, C)."""
        outputs = []
        # A slice of a `ModuleList` is a new module, which causes a graph break of `torch.compile`.
        for layer in list(self.layers)[:count]:
            if self.with_cp and self.training and torch.is_grad_enabled():
                tokens = checkpoint(layer, tokens, use_reentrant=False)
            else:
                tokens = layer(tokens)
            outputs.append(tokens)
        return outputs

    def class_attention(self, tokens: Tensor) -> Tensor:
        """Returns the attention of the class token to the patches in the last block, (N, heads, P).

        The softmax is over all tokens, including the class token.

        Args:
            tokens: Input of the last block, (N, 1 + P, C).
        """
        layer = self.layers[-1]
        heads, width = layer.attn.num_heads, self.embed_dims
        weight, bias = layer.attn.qkv.weight, layer.attn.qkv.bias
        tokens = layer.ln1(tokens)
        query = F.linear(tokens[:, :1], weight[:width], None if bias is None else bias[:width])
        key = F.linear(tokens, weight[width : 2 * width], None if bias is None else bias[width : 2 * width])
        query, key = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key))
        logits = (query @ key.transpose(2, 3)).float() * query.shape[-1] ** -0.5
        return logits.softmax(-1)[:, :, 0, 1:]

    def _finish(self, tokens: Tensor, needed: Tensor) -> Tensor:
        """Runs the last block and the final norm on tokens (N, T, C), after the attention for needed tokens only."""
        layer = self.layers[-1]
        tokens = tokens + layer.attn(layer.ln1(tokens))
        rows = tokens.flatten(0, 1)[needed]
        update = layer.ffn.gamma2(layer.ffn.layers(layer.ln2(rows)))
        drop = layer.ffn.dropout_layer.drop_prob if self.training else 0.0
        if drop:
            # Stochastic depth drops the path of a whole image, also if only some of its tokens are computed.
            scale = (torch.rand(len(tokens), device=tokens.device) >= drop).to(update.dtype) / (1 - drop)
            update = update * scale[needed // tokens.shape[1], None]
        rows = self.ln1(rows + update)
        empty = rows.new_zeros(tokens.shape[0] * tokens.shape[1], rows.shape[1])
        return empty.index_copy(0, needed, rows).view(*tokens.shape[:2], -1)

    @property
    def layer_strides(self) -> dict[str, int]:
        """Pixels per position of the output of each block, by block number from 1."""
        return {str(number): self.stride for number in range(1, len(self.layers) + 1)}

    def dense_maps(
        self, images: Tensor, layers: Sequence[str | None], mask: Tensor | None = None, class_token: bool = False
    ) -> list[Tensor]:
        """Returns the patch tokens of several layers as maps (N, C, h, w), from one pass.

        Args:
            images: Normalized images, (N, 3, H, W).
            layers: Some of `layer_strides`, for the plain outputs of these blocks, or None for the last block and the
                final norm.
            mask: Patches to replace by the mask token, bool (N, h, w).
            class_token: Whether to return the class tokens of these layers instead, (N, C, 1, 1).
        """
        grid = [side // self.stride for side in images.shape[-2:]]
        depth = len(self.layers)
        outputs = self.blocks(self.tokens(images, mask)[0], max(int(layer or depth) for layer in layers))
        found = [self.ln1(outputs[-1]) if layer is None else outputs[int(layer) - 1] for layer in layers]
        if class_token:
            return [tokens[:, 0, :, None, None] for tokens in found]
        return [tokens[:, 1:].transpose(1, 2).unflatten(2, grid) for tokens in found]

    def dense_map(self, images: Tensor, mask: Tensor | None = None, layer: str | None = None) -> Tensor:
        """Returns the patch tokens of one layer as a map (N, C, h, w); see `dense_maps`."""
        return self.dense_maps(images, [layer], mask)[0]


def _check_divides(size: tuple[int, int], patch: int) -> None:
    if size[0] % patch or size[1] % patch:
        raise UserError(
            f'DenseViT: a patch of {patch} pixels does not divide a view of {size[0]} x {size[1]} pixels; '
            'change the crop size of the data or model.backbone.patch_size.'
        )
