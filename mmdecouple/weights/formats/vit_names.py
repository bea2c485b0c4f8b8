"""Tensor names of a ViT in each checkpoint format."""

import re
from dataclasses import dataclass

_EMBEDDINGS = {'cls_token': 'cls_token', 'pos_embed': 'pos_embed', 'patch_embed.projection.*': 'patch_embed.proj.*'}
_BLOCKS = {
    'layers.#.ln1.*': 'blocks.#.norm1.*',
    'layers.#.attn.qkv.*': 'blocks.#.attn.qkv.*',
    'layers.#.attn.proj.*': 'blocks.#.attn.proj.*',
    'layers.#.ln2.*': 'blocks.#.norm2.*',
    'layers.#.ffn.layers.0.0.*': 'blocks.#.mlp.fc1.*',
    'layers.#.ffn.layers.1.*': 'blocks.#.mlp.fc2.*',
    'ln1.*': 'norm.*',
}
_DINO = {**_EMBEDDINGS, **_BLOCKS}
_SCALES = {'layers.#.attn.gamma1.weight': 'blocks.#.ls1.gamma', 'layers.#.ffn.gamma2.weight': 'blocks.#.ls2.gamma'}
_IBOT = {**_DINO, 'mask_token': 'masked_embed'}
_TIMM = {
    **_EMBEDDINGS,
    'pre_norm.*': 'norm_pre.*',
    **_BLOCKS,
    **_SCALES,
    'register_tokens': 'reg_token',
    # timm's packed SwiGLU has the names of an MLP, and other shapes.
    'layers.#.ffn.w12.*': 'blocks.#.mlp.fc1.*',
    'layers.#.ffn.w3.*': 'blocks.#.mlp.fc2.*',
}
_DINOV2 = {
    **_DINO,
    **_SCALES,
    'mask_token': 'mask_token',
    'register_tokens': 'register_tokens',
    'layers.#.ffn.w12.*': 'blocks.#.mlp.w12.*',
    'layers.#.ffn.w3.*': 'blocks.#.mlp.w3.*',
}
_ROPE = {ours: theirs for ours, theirs in _DINO.items() if ours not in ('pos_embed', 'layers.#.attn.qkv.*')}
_ROPE['layers.#.attn.qkv.weight'] = 'blocks.#.attn.qkv.weight'
_DINOV3 = {
    **_ROPE,
    **_SCALES,
    'mask_token': 'mask_token',
    'register_tokens': 'storage_tokens',
    'rope.periods': 'rope_embed.periods',
    'layers.#.attn.qkv.bias': 'blocks.#.attn.qkv.{bias,bias_mask}',
    'layers.#.ffn.w12.*': 'blocks.#.mlp.{w1,w2}.*',
    'layers.#.ffn.w3.*': 'blocks.#.mlp.w3.*',
}
# timm's class Eva.
_TIMM_ROPE = {
    **_ROPE,
    'register_tokens': 'reg_token',
    'layers.#.attn.qkv.bias': 'blocks.#.attn.{q_bias,,v_bias}',
    'layers.#.attn.gamma1.weight': 'blocks.#.gamma_1',
    'layers.#.ffn.gamma2.weight': 'blocks.#.gamma_2',
    'layers.#.ffn.w12.*': 'blocks.#.mlp.{fc1_g,fc1_x}.*',
    'layers.#.ffn.w3.*': 'blocks.#.mlp.fc2.*',
}
_OURS = {ours: ours for ours in (*_TIMM, 'mask_token', 'rope.periods')}
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
_HUGGINGFACE_DINOV2 = {
    **{ours: theirs for ours, theirs in _HUGGINGFACE.items() if not ours.startswith(('layers.#.ln', 'layers.#.ffn'))},
    'register_tokens': 'embeddings.register_tokens',
    'layers.#.ln1.*': 'encoder.layer.#.norm1.*',
    'layers.#.attn.gamma1.weight': 'encoder.layer.#.layer_scale1.lambda1',
    'layers.#.ln2.*': 'encoder.layer.#.norm2.*',
    'layers.#.ffn.layers.0.0.*': 'encoder.layer.#.mlp.fc1.*',
    'layers.#.ffn.layers.1.*': 'encoder.layer.#.mlp.fc2.*',
    'layers.#.ffn.w12.*': 'encoder.layer.#.mlp.weights_in.*',
    'layers.#.ffn.w3.*': 'encoder.layer.#.mlp.weights_out.*',
    'layers.#.ffn.gamma2.weight': 'encoder.layer.#.layer_scale2.lambda1',
}
_HUGGINGFACE_DINOV3 = {
    'cls_token': 'embeddings.cls_token',
    'mask_token': 'embeddings.mask_token',
    'register_tokens': 'embeddings.register_tokens',
    'patch_embed.projection.*': 'embeddings.patch_embeddings.*',
    'layers.#.ln1.*': 'layer.#.norm1.*',
    'layers.#.attn.qkv.weight': 'layer.#.attention.{q,k,v}_proj.weight',
    'layers.#.attn.qkv.bias': 'layer.#.attention.{q_proj.bias,,v_proj.bias}',
    'layers.#.attn.proj.*': 'layer.#.attention.o_proj.*',
    'layers.#.attn.gamma1.weight': 'layer.#.layer_scale1.lambda1',
    'layers.#.ln2.*': 'layer.#.norm2.*',
    'layers.#.ffn.layers.0.0.*': 'layer.#.mlp.up_proj.*',
    'layers.#.ffn.layers.1.*': 'layer.#.mlp.down_proj.*',
    'layers.#.ffn.w12.*': 'layer.#.mlp.{gate,up}_proj.*',
    'layers.#.ffn.w3.*': 'layer.#.mlp.down_proj.*',
    'layers.#.ffn.gamma2.weight': 'layer.#.layer_scale2.lambda1',
    'ln1.*': 'norm.*',
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
        table: Own name -> name in the format. `{query,key,value}` marks tensors that form one own tensor; an empty part
            is one of zeros that the format lacks.
        mark: Name that only this table has among those of the same blocks.
        root: Prefix of all names of the table, below any prefix that a file adds.
        beside: Pattern of the names under `root` that are not part of the backbone, such as heads and decoders.
    """

    format: str
    table: dict[str, str]
    mark: str = ''
    root: str = ''
    beside: str = r'(head|fc)\.'

    def expand(self, layers: int) -> dict[str, tuple[str | None, ...]]:
        """Returns a dict that maps own tensor names to the names of this format; None for a part that it lacks.

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
        tensors = [name for ours, theirs in self.table.items() if '#' in ours for name in _braces(theirs) if name]
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


_HEADS = r'(head|head_drop|fc|fc_norm|pre_logits|distill_heads|clip_model|dino_model)\.|decoder_|'
_OF_TIMM = _HEADS + r'mask_token$|distill_weights$'
# Tried in this order, because a MaskAlign checkpoint also holds the teacher with Hugging Face's names.
VIT_NAMES = (
    ViTNames('mmdecouple', _OURS, beside=r'(head|neck|teacher|data_preprocessor)\.|(class|patch)_center\.'),
    ViTNames('ibot', _IBOT),
    ViTNames('dino', _DINO),
    ViTNames('leopart', _DINO, beside=r'(projection_head|prototypes)\.'),
    ViTNames('timm', _TIMM, beside=_OF_TIMM),
    ViTNames('timm', _TIMM_ROPE, mark='blocks.0.gamma_1', beside=_OF_TIMM),
    ViTNames('dinov2', _DINOV2),
    ViTNames('dinov3', _DINOV3, beside=r'(head|fc|local_cls_norm)\.'),
    ViTNames('huggingface', _HUGGINGFACE, beside=r'(pooler|classifier|decoder)\.'),
    ViTNames(
        'huggingface', _HUGGINGFACE_DINOV2, mark='encoder.layer.0.norm1.weight', beside=r'(pooler|classifier|decoder)\.'
    ),
    ViTNames('huggingface', _HUGGINGFACE_DINOV3, mark='layer.0.norm1.weight'),
    ViTNames('clip', _CLIP, root='visual.', beside='proj$'),
    ViTNames('clip', _HUGGINGFACE_CLIP, root='vision_model.', beside=r'embeddings\.position_ids$'),
)


def _braces(name: str) -> list[str | None]:
    match = re.fullmatch(r'(.*)\{(.+)\}(.*)', name)
    return [match[1] + part + match[3] if part else None for part in match[2].split(',')] if match else [name]
