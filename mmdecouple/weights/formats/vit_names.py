"""Tensor names of a ViT in each checkpoint format."""

import re
from dataclasses import dataclass

_TIMM = {
    'cls_token': 'cls_token',
    'pos_embed': 'pos_embed',
    'patch_embed.projection.*': 'patch_embed.proj.*',
    'pre_norm.*': 'norm_pre.*',
    'layers.#.ln1.*': 'blocks.#.norm1.*',
    'layers.#.attn.qkv.*': 'blocks.#.attn.qkv.*',
    'layers.#.attn.proj.*': 'blocks.#.attn.proj.*',
    'layers.#.ln2.*': 'blocks.#.norm2.*',
    'layers.#.ffn.layers.0.0.*': 'blocks.#.mlp.fc1.*',
    'layers.#.ffn.layers.1.*': 'blocks.#.mlp.fc2.*',
    'ln1.*': 'norm.*',
}
_DINO = {ours: theirs for ours, theirs in _TIMM.items() if ours != 'pre_norm.*'}
_IBOT = {**_DINO, 'mask_token': 'masked_embed'}
_OURS = {ours: ours for ours in (*_TIMM, 'mask_token')}
_HUGGINGFACE = {
    'cls_token': 'embeddings.cls_token',
    'pos_embed': 'embeddings.position_embeddings',
    'mask_token': 'embeddings.mask_token',
    'patch_embed.projection.*': 'embeddings.patch_embeddings.projection.*',
    'layers.#.ln1.*': 'encoder.layer.#.layernorm_before.*',
    'layers.#.attn.qkv.*': 'encoder.layer.#.attention.attention.{query,key,value}.*',
    'layers.#.attn.proj.*': 'encoder.layer.#.attention.output.dense.*',
    'layers.#.ln2.*': 'encoder.layer.#.layernorm_after.*',
    'layers.#.ffn.layers.0.0.*': 'encoder.layer.#.intermediate.dense.*',
    'layers.#.ffn.layers.1.*': 'encoder.layer.#.output.dense.*',
    'ln1.*': 'layernorm.*',
}
_CLIP = {
    'cls_token': 'class_embedding',
    'pos_embed': 'positional_embedding',
    'patch_embed.projection.*': 'conv1.*',
    'pre_norm.*': 'ln_pre.*',
    'layers.#.ln1.*': 'transformer.resblocks.#.ln_1.*',
    'layers.#.attn.qkv.*': 'transformer.resblocks.#.attn.in_proj_*',
    'layers.#.attn.proj.*': 'transformer.resblocks.#.attn.out_proj.*',
    'layers.#.ln2.*': 'transformer.resblocks.#.ln_2.*',
    'layers.#.ffn.layers.0.0.*': 'transformer.resblocks.#.mlp.c_fc.*',
    'layers.#.ffn.layers.1.*': 'transformer.resblocks.#.mlp.c_proj.*',
    'ln1.*': 'ln_post.*',
}
_HUGGINGFACE_CLIP = {
    'cls_token': 'embeddings.class_embedding',
    'pos_embed': 'embeddings.position_embedding.weight',
    'patch_embed.projection.*': 'embeddings.patch_embedding.*',
    # The published name lacks this letter.
    'pre_norm.*': 'pre_layrnorm.*',
    'layers.#.ln1.*': 'encoder.layers.#.layer_norm1.*',
    'layers.#.attn.qkv.*': 'encoder.layers.#.self_attn.{q,k,v}_proj.*',
    'layers.#.attn.proj.*': 'encoder.layers.#.self_attn.out_proj.*',
    'layers.#.ln2.*': 'encoder.layers.#.layer_norm2.*',
    'layers.#.ffn.layers.0.0.*': 'encoder.layers.#.mlp.fc1.*',
    'layers.#.ffn.layers.1.*': 'encoder.layers.#.mlp.fc2.*',
    'ln1.*': 'post_layernorm.*',
}


@dataclass(frozen=True)
class ViTNames:
    """Names of one format, where `#` is the index of a block and `*` is `weight` or `bias`.

    Args:
        format: Name of the format.
        table: Own name -> name in the format. `{query,key,value}` marks three tensors that form one own tensor.
        root: Prefix of all names of the table, below any prefix that a file adds.
        beside: Pattern of the names under `root` that are not part of the backbone, such as heads and decoders.
    """

    format: str
    table: dict[str, str]
    root: str = ''
    beside: str = r'(head|fc)\.'

    def expand(self, layers: int) -> dict[str, tuple[str, ...]]:
        """Returns a dict that maps own tensor names to the one or three names of this format.

        Args:
            layers: Number of blocks of the ViT.
        """
        names = {}
        for index in ('', *range(layers)):
            for ours, theirs in self.table.items():
                if ('#' in ours) == (index != ''):
                    for kind in ('weight', 'bias') if '*' in ours else ('',):
                        key, name = (text.replace('#', str(index)).replace('*', kind) for text in (ours, theirs))
                        names[key] = tuple(_braces(name))
        return names

    def blocks(self, keys: list[str]) -> dict[str, set[int]]:
        """Returns the prefixes, including the root, under which `keys` hold blocks of this format, with the indices."""
        tensors = [name for ours, theirs in self.table.items() if '#' in ours for name in _braces(theirs)]
        any_tensor = '|'.join(re.escape(name) for name in tensors).replace(r'\*', '(?:weight|bias)')
        pattern = re.compile(rf'((?:.*\.)?){re.escape(self.root)}(?:{any_tensor})'.replace(r'\#', r'(\d+)'))
        found: dict[str, set[int]] = {}
        for match in filter(None, map(pattern.fullmatch, keys)):
            index = next(group for group in match.groups()[1:] if group is not None)
            found.setdefault(match[1] + self.root, set()).add(int(index))
        return found

    def is_beside(self, name: str) -> bool:
        """Returns whether a name below the root does not belong to the backbone."""
        return re.match(self.beside, name) is not None


# Tried in this order, because a MaskAlign checkpoint also holds the teacher with Hugging Face's names.
VIT_NAMES = (
    ViTNames('mmdecouple', _OURS, beside=r'(head|neck|teacher|data_preprocessor)\.|(class|patch)_center\.'),
    ViTNames('ibot', _IBOT),
    ViTNames('dino', _DINO),
    ViTNames('leopart', _DINO, beside=r'(projection_head|prototypes)\.'),
    ViTNames(
        'timm',
        _TIMM,
        beside=r'(head|head_drop|fc|fc_norm|pre_logits|distill_heads|clip_model|dino_model)\.|'
        r'decoder_|mask_token$|distill_weights$',
    ),
    ViTNames('huggingface', _HUGGINGFACE, beside=r'(pooler|classifier|decoder)\.'),
    ViTNames('clip', _CLIP, root='visual.', beside='proj$'),
    ViTNames('clip', _HUGGINGFACE_CLIP, root='vision_model.', beside=r'embeddings\.position_ids$'),
)


def _braces(name: str) -> list[str]:
    match = re.fullmatch(r'(.*)\{(.+)\}(.*)', name)
    return [match[1] + part + match[3] for part in match[2].split(',')] if match else [name]
