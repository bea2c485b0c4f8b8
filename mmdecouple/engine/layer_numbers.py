"""Number of the layer that a parameter of a network belongs to, for learning rates that decrease towards the input."""

from torch import nn

_EMBEDDINGS = 'cls_token', 'register_tokens', 'pos_embed', 'mask_token', 'patch_embed.', 'pre_norm.'


def depth_of(model: nn.Module) -> int | None:
    """Returns the number of blocks of a model's ViT (`backbone.layers`), or None if its backbone is no ViT."""
    blocks = getattr(getattr(model, 'backbone', None), 'layers', None)
    return None if blocks is None else len(blocks)


def layer_of(name: str, depth: int) -> int:
    """Returns the layer of a parameter of a model with a ViT as `backbone`.

    Args:
        name: Name of the parameter in the model.
        depth: Number of blocks.

    Returns:
        0 for embeddings and tokens, i + 1 for block i, and depth + 1 for all others: the final norm, and what is not in
        the backbone.

    Source: `bytedance/ibot evaluation/object_detection/mmcv_custom/layer_decay_optimizer_constructor.py`.
    """
    inner = name.removeprefix('backbone.')
    if inner == name:
        return depth + 1
    if inner.startswith(_EMBEDDINGS):
        return 0
    return int(inner.split('.')[1]) + 1 if inner.startswith('layers.') else depth + 1
