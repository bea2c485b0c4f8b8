"""Blocks of a vision transformer: attention with rotary positions, and a gated feed-forward network."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import MultiheadAttention, SwiGLUFFN, build_norm_layer
from torch import Tensor, nn

from .rope import Rotation

_SHARED = ('layer_scale_init_value', 'drop_rate', 'qkv_bias', 'norm_cfg')


class KeylessBias(nn.Linear):
    """Joint projection to queries, keys and values in which keys have no bias: (..., C) -> (..., 3 C)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns queries, keys and values of tokens."""
        return F.linear(tokens, self.weight, self.used_bias)

    @property
    def used_bias(self) -> Tensor:
        """The bias with zeros for the keys, (3 C,)."""
        query, key, value = self.bias.chunk(3)
        return torch.cat([query, torch.zeros_like(key), value])


class Attention(MultiheadAttention):
    """mmpretrain's multi-head attention, with optional rotary positions and keys without bias.

    Args:
        key_bias: Whether keys have a bias. Without it, the middle third of `qkv.bias` is not used, as in DINOv3.
        **kwargs: Arguments of mmpretrain's class.
    """

    def __init__(self, key_bias: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        if not key_bias and self.qkv.bias is not None:
            self.qkv = KeylessBias(self.qkv.in_features, self.qkv.out_features)

    def forward(self, tokens: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Returns the update of tokens (N, T, C), after LayerScale and stochastic depth."""
        query, key, value = self._heads(self.qkv(tokens))
        if rotation is not None:
            query, key = rotation.apply(query), rotation.apply(key)
        drop = self.attn_drop if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=drop)
        mixed = mixed.transpose(1, 2).reshape(tokens.shape)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(mixed))))

    def of_class_token(self, tokens: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Returns the attention of the first token, which does not rotate, to all tokens (N, T, C): (N, heads, T)."""
        weight, width = self.qkv.weight, self.embed_dims
        bias = getattr(self.qkv, 'used_bias', self.qkv.bias)
        query = F.linear(tokens[:, :1], weight[:width], None if bias is None else bias[:width])
        key = F.linear(tokens, weight[width : 2 * width], None if bias is None else bias[width : 2 * width])
        query, key = (x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (query, key))
        if rotation is not None:
            key = rotation.apply(key)
        logits = (query @ key.transpose(2, 3)).float() * query.shape[-1] ** -0.5
        return logits.softmax(-1)[:, :, 0]

    def _heads(self, joint: Tensor) -> Tensor:
        """Splits (N, T, 3 C) into queries, keys and values, (3, N, heads, T, D)."""
        return joint.unflatten(2, (3, self.num_heads, self.head_dims)).permute(2, 0, 3, 1, 4)


class SwiGLU(SwiGLUFFN):
    """mmpretrain's gated feed-forward network w3(silu(w1 x) * w2 x), whose fused w12 holds w1 and w2."""

    def layers(self, tokens: Tensor) -> Tensor:
        """Returns w3(silu(w1 x) * w2 x) of tokens (..., C)."""
        gate, value = self.w12(tokens).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class Block(TransformerEncoderLayer):
    """mmpretrain's block, with rotary positions, keys without bias, and stochastic depth also with SwiGLU.

    Args:
        embed_dims: Channels C of a token.
        num_heads: Number of heads.
        feedforward_channels: Hidden channels H of the MLP. `swiglu_fused` has 2 H / 3 hidden channels, rounded up to a
            multiple of 8, as in DINOv2 and DINOv3.
        norm_cfg: Config of the norms.
        layer_scale_init_value: Initial value of LayerScale; 0 for none.
        drop_rate: Dropout after the attention and in the feed-forward network.
        attn_drop_rate: Dropout of the attention.
        drop_path_rate: Stochastic depth.
        qkv_bias: Whether queries, keys and values have biases.
        key_bias: See `Attention`.
        ffn_type: `origin`, an MLP, or `swiglu_fused`; mmpretrain's names.
        num_fcs: Number of layers of the MLP.
        act_cfg: Config of the activation of the MLP.
        init_cfg: Weight initialization of mmengine.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int,
        norm_cfg: dict,
        layer_scale_init_value: float = 0.0,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        qkv_bias: bool = True,
        key_bias: bool = True,
        ffn_type: str = 'origin',
        num_fcs: int = 2,
        act_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # mmpretrain's own constructor builds its attention, which has no positions.
        BaseModule.__init__(self, init_cfg)
        self.embed_dims = embed_dims
        common = dict(
            embed_dims=embed_dims,
            dropout_layer=dict(type='DropPath', drop_prob=drop_path_rate),
            layer_scale_init_value=layer_scale_init_value,
        )
        self.ln1 = build_norm_layer(norm_cfg, embed_dims)
        self.attn = Attention(
            key_bias, num_heads=num_heads, attn_drop=attn_drop_rate, proj_drop=drop_rate, qkv_bias=qkv_bias, **common
        )
        self.ln2 = build_norm_layer(norm_cfg, embed_dims)
        if ffn_type == 'swiglu_fused':
            self.ffn = SwiGLU(feedforward_channels=swiglu_width(feedforward_channels), **common)
        else:
            self.ffn = FFN(
                feedforward_channels=feedforward_channels,
                num_fcs=num_fcs,
                ffn_drop=drop_rate,
                act_cfg=act_cfg or dict(type='GELU'),
                **common,
            )

    def forward(self, tokens: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Returns the output for tokens (N, T, C)."""
        tokens = tokens + self.attn(self.ln1(tokens), rotation)
        return self.ffn(self.ln2(tokens), identity=tokens)

    def forward_needed(self, tokens: Tensor, needed: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Returns the output of some tokens, whose feed-forward network is computed for them only.

        Args:
            tokens: Input of the block, (N, T, C).
            needed: Flat indices of tokens, (M,) in [0, N * T).
            rotation: See `Attention`.

        Returns:
            Output of these tokens, (M, C).
        """
        tokens = tokens + self.attn(self.ln1(tokens), rotation)
        rows = tokens.flatten(0, 1)[needed]
        update = self.ffn.gamma2(self.ffn.layers(self.ln2(rows)))
        drop = self.ffn.dropout_layer.drop_prob if self.training else 0.0
        if drop:
            # Stochastic depth drops the path of a whole image, also if only some of its tokens are computed.
            scale = (torch.rand(len(tokens), device=tokens.device) >= drop).to(update.dtype) / (1 - drop)
            update = update * scale[needed // tokens.shape[1], None]
        return rows + update


def build_blocks(sizes: Mapping[str, int], key_bias: bool, settings: Mapping[str, Any]) -> list[Block]:
    """Builds the blocks of a `VisionTransformer`, whose stochastic depth increases linearly.

    Args:
        sizes: Dict of sizes as in mmpretrain's `arch`.
        key_bias: See `Attention`.
        settings: Arguments of mmpretrain's class; those of blocks are used.
    """
    depth = sizes['num_layers']
    rates = np.linspace(0, settings.get('drop_path_rate', 0.0), depth)
    layers = settings.get('layer_cfgs', {})
    common = dict(norm_cfg=dict(type='LN', eps=1e-6), key_bias=key_bias)
    common |= {key: size for key, size in sizes.items() if key != 'num_layers'}
    common |= {key: settings[key] for key in _SHARED if key in settings}
    # A numpy float would cause a graph break of `torch.compile` in every block.
    return [
        Block(**{**common, 'drop_path_rate': float(rate), **layer})
        for rate, layer in zip(rates, [layers] * depth if isinstance(layers, dict) else layers, strict=True)
    ]


def swiglu_width(feedforward_channels: int) -> int:
    """Returns the hidden channels of a SwiGLU for the hidden channels of an MLP of about the same size."""
    return (int(feedforward_channels * 2 / 3) + 7) // 8 * 8
