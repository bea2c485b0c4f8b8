"""Memory and communication of an iBOT step by formula; `docs/scaling.md` derives the formulas.

Sizes are in bytes and for one process, unless stated otherwise. Weights, gradients, optimizer state and the residual
stream are float32, all products bfloat16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mmdecouple.models import DenseViT
from mmdecouple.models.backbones.vit_blocks import swiglu_width

_FLOAT, _HALF = 4, 2


@dataclass(frozen=True)
class IBOTSizes:
    """Sizes of the student of an iBOT.

    Attributes:
        width: Channels C of a token.
        depth: Number of blocks L.
        hidden: Channels H of the MLP of a block.
        heads: Number of attention heads.
        side: Side of a patch in pixels.
        patches: Number of patches P of a global view.
        prototypes: Number of prototypes K.
        head: Channels of the two hidden layers of the projection head.
        bottleneck: Channels before the prototypes.
        registers: Number of register tokens.
        scaled: Whether blocks have LayerScale.
        gated: Whether the MLP is a SwiGLU, of H hidden channels.
        rotary: Whether positions are rotary.
        biased: Whether queries, keys and values have biases.
    """

    width: int
    depth: int
    hidden: int
    heads: int
    side: int
    patches: int
    prototypes: int
    head: int = 2048
    bottleneck: int = 256
    registers: int = 0
    scaled: bool = False
    gated: bool = False
    rotary: bool = False
    biased: bool = True

    @classmethod
    def of(cls, model: dict[str, Any]) -> 'IBOTSizes':
        """Reads the sizes from the config of the model."""
        backbone, neck = model['backbone'], model['neck']
        arch = backbone['arch']
        arch = DenseViT.arch_zoo[arch] if isinstance(arch, str) else arch
        gated = backbone.get('layer_cfgs', {}).get('ffn_type') == 'swiglu_fused'
        hidden = arch['feedforward_channels']
        return cls(
            width=arch['embed_dims'],
            depth=arch['num_layers'],
            hidden=swiglu_width(hidden) if gated else hidden,
            heads=arch['num_heads'],
            side=backbone['patch_size'],
            patches=(backbone['img_size'] // backbone['patch_size']) ** 2,
            prototypes=neck['out_channels'],
            head=neck.get('hidden_channels', 2048),
            bottleneck=neck.get('bottleneck_channels', 256),
            registers=backbone.get('register_tokens', 0),
            scaled=backbone.get('layer_scale_init_value', 0) > 0,
            gated=gated,
            rotary=backbone.get('position') == 'rope',
            biased=backbone.get('qkv_bias', True),
        )

    def tensors(self) -> tuple[list[int], list[int]]:
        """Returns the sizes of all trained tensors, with and without weight decay."""
        c, h, head = self.width, self.hidden, (self.width, self.head, self.head, self.bottleneck)
        layers = list(pairwise(head))
        fused = 2 * h if self.gated else h
        positions = [] if self.rotary else [(1 + self.patches) * c]
        registers = [self.registers * c] if self.registers else []
        wide = [3 * self.side**2 * c, c, c, *positions, *registers]
        wide += [3 * c * c, c * c, c * fused, h * c] * self.depth
        wide += [n * m for n, m in layers] + [self.prototypes, self.prototypes * self.bottleneck]
        block = [3 * c] * self.biased + [c, fused] + [c] * (7 if self.scaled else 5)
        narrow = [c] + block * self.depth + [c, c] + [m for _, m in layers]
        return wide, narrow

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(map(sum, self.tensors()))


def largest_share(groups: Sequence[Sequence[int]], processes: int) -> int:
    """Returns the most parameters that one process updates with a divided optimizer state.

    Group by group and from the largest tensor on, each tensor goes to the process with the fewest parameters so far, as
    in torch's `ZeroRedundancyOptimizer`.

    Args:
        groups: Sizes of the tensors of each parameter group.
        processes: Number of processes.
    """
    shares = [0] * processes
    for sizes in groups:
        for size in sorted(sizes, reverse=True):
            shares[shares.index(min(shares))] += size
    return max(shares)


def memory_of(
    sizes: IBOTSizes,
    images: int,
    processes: int,
    rows: float,
    *,
    decoupled: float = 0.25,
    recomputed: bool = True,
    sharded: bool = True,
    bucket_views: bool = True,
) -> dict[str, float]:
    """Returns the memory of a step by purpose.

    Args:
        sizes: Sizes of the network.
        images: Images per process and iteration.
        processes: Number of processes.
        rows: Patches per image of which a loss reads the logits: masked ones and the foreground of decoupled views.
        decoupled: Decoupled views per image.
        recomputed: Whether blocks are recomputed in the backward pass (`with_cp`).
        sharded: Whether the optimizer state, two numbers per parameter, is divided.
        bucket_views: Whether DDP's buckets hold the gradients, instead of a copy of them.
    """
    p = sizes.parameters
    state = largest_share(sizes.tensors(), processes) if sharded else p
    copies = 0 if processes == 1 or bucket_views else p
    return dict(
        weights=_FLOAT * p,
        gradients=_FLOAT * (p + copies),
        optimizer=2 * _FLOAT * state,
        teacher=_FLOAT * p,
        **activations_of(sizes, images, rows, decoupled=decoupled, recomputed=recomputed),
    )


def activations_of(
    sizes: IBOTSizes, images: int, rows: float, *, decoupled: float = 0.25, recomputed: bool = True
) -> dict[str, float]:
    """Returns the memory of the tensors that the student stores for its backward pass; see `memory_of`.

    Returns:
        `casts`, the weights of the products in bfloat16; `views`, the pixels in bfloat16; `blocks`; `recomputation`,
        one block while it is recomputed; `head`, with the logits.
    """
    c, h, k = sizes.width, sizes.hidden, sizes.prototypes
    views, read = images * (2 + decoupled), images * (2 + rows)
    tokens = views * (1 + sizes.registers + sizes.patches)
    scaled = _HALF * c if sizes.scaled else 0
    # Rotated queries and keys are stored beside the values, which keep the memory of all three.
    attention = _FLOAT * c + 8 + 10 * c + _FLOAT * sizes.heads + scaled + (2 * _HALF * c if sizes.rotary else 0)
    mlp = _FLOAT * c + 8 + 2 * c + (4 if sizes.gated else 2) * _HALF * h + scaled
    stored = _FLOAT * c if recomputed else attention + mlp
    head = 2 * c + 4 * _HALF * sizes.head + (2 * _FLOAT + _HALF) * sizes.bottleneck + 2 * _FLOAT * k
    return dict(
        casts=_HALF * (sizes.parameters - k),
        views=_HALF * views * 3 * sizes.patches * sizes.side**2,
        blocks=tokens * (sizes.depth - 1) * stored + tokens * attention + read * (mlp + _FLOAT * c + 8),
        recomputation=tokens * (attention + mlp) if recomputed else 0,
        head=read * head,
    )


def communication_of(sizes: IBOTSizes, *, sharded: bool = True) -> dict[str, int]:
    """Returns the bytes of the tensors that all processes exchange in a step, by purpose.

    Returns:
        `gradients`, one all-reduce; `weights`, one broadcast of every tensor by the process that updates it; `centers`
        and `check`, small all-reduces: the mean logits of class and patch tokens, and the flag of a finite loss.
    """
    p = sizes.parameters
    weights = _FLOAT * p if sharded else 0
    return dict(gradients=_FLOAT * p, weights=weights, centers=2 * _FLOAT * sizes.prototypes, check=_FLOAT)


def sent(tensor: int, processes: int, kind: str) -> float:
    """Returns the bytes that one process sends for a collective of a tensor, the mean over processes.

    Args:
        tensor: Bytes of the tensor; for `all_gather`, those of one process.
        processes: Number of processes N.
        kind: `all_reduce` in a ring, 2 (N - 1) / N; `broadcast` along a chain, (N - 1) / N; `all_gather`, N - 1.
    """
    others = processes - 1
    return tensor * {'all_reduce': 2 * others / processes, 'broadcast': others / processes, 'all_gather': others}[kind]
