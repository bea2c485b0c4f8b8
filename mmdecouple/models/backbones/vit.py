"""Vision transformer with masked and mixed patches, outputs of single blocks, and dense maps."""

from collections.abc import Sequence

import torch
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmdecouple.decoupling import DecoupledViews
from mmdecouple.decoupling.cells import enlarge
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.positions import resize_positions, square_side

from .rope import AxialRope, Rotation
from .vit_blocks import build_blocks
from .vit_settings import check_channels, check_divides, check_settings
from .vit_weights import weights_for


@MODELS.register_module()
class DenseViT(VisionTransformer):
    """mmpretrain's `VisionTransformer` with what iBOT, DINOv2 and DINOv3 add, and outputs of single blocks.

    The order of the tokens is class token, register tokens, patches; `num_extra_tokens` tokens come before the patches.
    Attention uses torch's fused kernel; the attention of the class token in the last block is computed on demand from
    the input of that block. Parameters have the names of mmpretrain.

    Args:
        arch: `deit-tiny`, `deit-small`, `base`, `large` (ViT-Ti, S, B, L), or mmpretrain's dict of sizes.
        position: `learned` (iBOT, DINOv2), the fixed `sincos` (MaskAlign), or `rope` (DINOv3), which rotates queries
            and keys, see `AxialRope`. Learned and fixed embeddings are resized (bicubic, by explicit size) for views of
            another size; register tokens have none.
        antialias: Whether resizing has antialiasing: DINOv2 with registers, and timm.
        rope: Arguments of `AxialRope` for `position='rope'`: `base`, `shift`, `jitter`, `rescale`.
        register_tokens: Number R of learned tokens between class token and patches (4 in DINOv2 with registers and
            DINOv3).
        key_bias: Whether keys have a bias if `qkv_bias` is True; False for DINOv3.
        mask_token: Whether the network has a token that replaces masked patches; it is initialized to zero.
        weights: Local file with initial weights in any format that `read_vit` supports (iBOT, DINO, DINOv2, DINOv3,
            timm, Hugging Face, CLIP, this package), read by `init_weights`. Positions are resized; a missing mask token
            is set to zero.
        with_cp: Whether each block is recomputed in the backward pass instead of storing its activations.
        **kwargs: Arguments of mmpretrain's class: `img_size`, `patch_size`, `in_channels`, `drop_path_rate`,
            `layer_scale_init_value` (0 for no LayerScale), `qkv_bias`, `norm_cfg`, `layer_cfgs` (those of `Block`, such
            as `dict(ffn_type='swiglu_fused')`), `pre_norm`, ...

    Raises:
        UserError: A value is out of range, the architecture is unknown or mmpretrain's `small` (which is not ViT-S), or
            the patch size does not divide the view.

    Source: `bytedance/ibot models/vision_transformer.py` (initialization, mask token);
        `OpenDriveLab/maskalign models_pretrain.py` (`sincos`, Xavier initialization); arXiv 2304.07193 (LayerScale,
        SwiGLU); arXiv 2309.16588 (registers); arXiv 2508.10104 (RoPE).
    """

    has_class_token = True

    def __init__(
        self,
        arch: str | dict = 'deit-small',
        position: str = 'learned',
        antialias: bool = False,
        rope: dict | None = None,
        register_tokens: int = 0,
        key_bias: bool = True,
        mask_token: bool = False,
        weights: str | None = None,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        own = dict(rope=rope, register_tokens=register_tokens, antialias=antialias, key_bias=key_bias)
        sizes = check_settings(
            self,
            dict(kwargs, **own, arch=arch, position=position, mask_token=mask_token, weights=weights, with_cp=with_cp),
        )
        frozen = kwargs.pop('frozen_stages', -1)
        # mmpretrain's constructor would build its own blocks.
        super().__init__(**{**kwargs, 'arch': {**sizes, 'num_layers': 0}, 'out_indices': 0, 'out_type': 'raw'})
        self.arch_settings, self.num_layers = sizes, sizes['num_layers']
        self.layers.extend(build_blocks(sizes, key_bias, kwargs))
        self.stride = self.patch_embed.projection.stride[0]
        check_divides(self.img_size, self.stride)
        self.with_cp = with_cp
        self.weights = weights
        self.antialias = antialias
        self.fixed_position = position == 'sincos'
        self.num_extra_tokens = 1 + register_tokens
        self.rope = None
        if position == 'rope':
            self.pos_embed = None
            self.rope = AxialRope(self.embed_dims // sizes['num_heads'], **(rope or {}))
        else:
            self.pos_embed.requires_grad_(not self.fixed_position)
        self.mask_token = nn.Parameter(torch.zeros(1, self.embed_dims)) if mask_token else None
        self.register_tokens = (
            nn.Parameter(torch.zeros(1, register_tokens, self.embed_dims)) if register_tokens else None
        )
        self.frozen_stages = frozen
        if frozen > 0:
            self._freeze_stages()
            if self.register_tokens is not None:
                self.register_tokens.requires_grad_(False)

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
        if self.register_tokens is not None:
            trunc_normal_(self.register_tokens, std=0.02)
        if self.rope is not None:
            self.rope.reset_periods()
        if self.weights is not None:
            self.load_file(self.weights, 'model.backbone.weights')

    def load_file(self, path: str, key: str) -> None:
        """Loads all weights from a local file.

        Args:
            path: File in any format that `read_vit` supports.
            key: Config key of the path, for the error message.

        Raises:
            MissingFile: The file does not exist.
            UserError: The network of the file has another architecture; the message names the settings.
        """
        own = self.state_dict()
        self.load_state_dict({**own, **weights_for(self, path, key)})

    def forward(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        mixed: DecoupledViews | None = None,
        needed: Tensor | None = None,
    ) -> tuple[Tensor]:
        """Computes the tokens after the final norm.

        Args:
            images: Normalized views, (N, 3, H, W), or as many channels as `in_channels`.
            mask: Patches to replace by the mask token, bool (N, h, w).
            mixed: Decoupled views to mix from the patch embeddings of `images`; they add D rows, which are not masked.
            needed: Flat indices of the tokens to compute, in [0, N * (1 + R + P)). The last feed-forward layer and the
                final norm skip all others, which are zero in the output. None for all.

        Returns:
            Tuple of one tensor (N + D, 1 + R + P, C): class token, register tokens, patches.

        Raises:
            UserError: The patch size does not divide the view, the views have another number of channels than the
                network, or the mask is not on the token grid.
        """
        tokens, grid = self.tokens(images, mask, mixed)
        rotation = self.rotation(grid)
        if needed is None:
            return (self.ln1(self.blocks(tokens, rotation=rotation)[-1]),)
        depth = len(self.layers) - 1
        tokens = self.blocks(tokens, depth, rotation)[-1] if depth else tokens
        return (self._finish(tokens, needed, rotation),)

    def tokens(
        self, images: Tensor, mask: Tensor | None = None, mixed: DecoupledViews | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """Returns the input of the first block, (N + D, 1 + R + P, C), and the patch grid (h, w); see `forward`."""
        check_divides(images.shape[-2:], self.stride)
        check_channels(images.shape[1], self.patch_embed.projection.in_channels)
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
        if self.pos_embed is None:
            # The residual stream has the type of the weights under autocast, as with added positions.
            tokens = tokens.to(self.cls_token.dtype)
        else:
            tokens = tokens + self.resized_positions(self.pos_embed, self.patch_resolution, grid)
        if self.register_tokens is not None:
            registers = self.register_tokens.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        return self.pre_norm(self.drop_after_pos(tokens)), grid

    def rotation(self, grid: tuple[int, int]) -> Rotation | None:
        """Returns the rotation of queries and keys for a patch grid (h, w); None without `position='rope'`."""
        return None if self.rope is None else self.rope(grid, self.num_extra_tokens)

    def blocks(self, tokens: Tensor, count: int | None = None, rotation: Rotation | None = None) -> list[Tensor]:
        """Returns the outputs of blocks before the final norm.

        Args:
            tokens: Input of the first block, (N, T, C).
            count: Number of blocks to run; None for all.
            rotation: Result of `rotation` for the grid of the tokens, for `position='rope'`.

        Raises:
            ValueError: The network has rotary positions, and `rotation` is missing.
        """
        if rotation is None and self.rope is not None:
            raise ValueError('DenseViT.blocks: a network with rotary positions requires the argument rotation.')
        outputs = []
        # A slice of a `ModuleList` is a new module, which causes a graph break of `torch.compile`.
        for layer in list(self.layers)[:count]:
            if self.with_cp and self.training and torch.is_grad_enabled():
                tokens = checkpoint(layer, tokens, rotation, use_reentrant=False)
            else:
                tokens = layer(tokens, rotation)
            outputs.append(tokens)
        return outputs

    def class_attention(self, tokens: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Returns the attention of the class token to the patches in the last block, (N, heads, P).

        The softmax is over all tokens, including class and register tokens.

        Args:
            tokens: Input of the last block, (N, 1 + R + P, C).
            rotation: See `blocks`.
        """
        layer = self.layers[-1]
        return layer.attn.of_class_token(layer.ln1(tokens), rotation)[:, :, self.num_extra_tokens :]

    def resized_positions(self, positions: Tensor, source: tuple[int, int], grid: tuple[int, int]) -> Tensor:
        """Returns position embeddings (1, 1 + P, C), class token first, resized from one patch grid to another."""
        return resize_positions(positions, source, grid, self.interpolate_mode, self.antialias)

    def _prepare_pos_embed(self, state: dict[str, Tensor], prefix: str, *_) -> None:
        """Resizes the position embedding of a square grid in a state dict, in a hook of mmpretrain's class."""
        name = f'{prefix}pos_embed'
        if name in state and self.pos_embed is not None and state[name].shape != self.pos_embed.shape:
            side = square_side(state[name])
            state[name] = self.resized_positions(state[name], (side, side), self.patch_resolution)

    def _finish(self, tokens: Tensor, needed: Tensor, rotation: Rotation | None) -> Tensor:
        """Runs the last block and the final norm on tokens (N, T, C), after the attention for needed tokens only."""
        rows = self.ln1(self.layers[-1].forward_needed(tokens, needed, rotation))
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
        tokens, _ = self.tokens(images, mask)
        outputs = self.blocks(tokens, max(int(layer or depth) for layer in layers), self.rotation(grid))
        found = [self.ln1(outputs[-1]) if layer is None else outputs[int(layer) - 1] for layer in layers]
        if class_token:
            return [tokens[:, 0, :, None, None] for tokens in found]
        return [self.patch_map(tokens, grid) for tokens in found]

    def patch_map(self, tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Returns the patches of tokens (N, 1 + R + P, C) as a map (N, C, h, w) on a grid (h, w)."""
        return tokens[:, self.num_extra_tokens :].transpose(1, 2).unflatten(2, grid)

    def dense_map(self, images: Tensor, mask: Tensor | None = None, layer: str | None = None) -> Tensor:
        """Returns the patch tokens of one layer as a map (N, C, h, w); see `dense_maps`."""
        return self.dense_maps(images, [layer], mask)[0]
