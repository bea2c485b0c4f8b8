"""Our models with the formula-made weights of the golden files."""

import json
from pathlib import Path

import torch
from torch import Tensor

from mmdecouple.decoupling import DecoupledViews, PositionSet
from mmdecouple.decoupling.composition import mix_pixels
from mmdecouple.weights.formats.vit import to_ours

from .conftest import build
from .golden import formula

GOLDEN = Path(__file__).parent / 'golden'
VIT = dict(
    type='DenseViT',
    img_size=32,
    patch_size=8,
    arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=128),
)
HEAD = dict(type='DINOHead', in_channels=32, out_channels=24, hidden_channels=48, bottleneck_channels=16)


def load(name: str) -> dict:
    """A golden file."""
    return json.loads((GOLDEN / f'{name}.json').read_text())


def ibot(**kwargs) -> dict:
    """Config of an iBOT of the golden files' sizes."""
    return {
        **dict(
            type='IBOT',
            backbone=dict(VIT, mask_token=True),
            neck=HEAD,
            warmup_epochs=30,
            mim_mask=dict(type='Blockwise', cut_ratio=(0.1, 0.5)),
        ),
        **kwargs,
    }


def golden_ibot(golden: dict, flat_positions: bool = False, **kwargs):
    """An iBOT with the weights of a golden file, student and teacher, in training mode."""
    model = build(ibot(**kwargs)).train()
    content = {}
    for owner in ('student', 'teacher'):
        state = formula.weights(owner, golden['weights'], flat_positions)
        for part in ('weight_g', 'weight_v'):
            state[f'head.last_layer2.{part}'] = state[f'head.last_layer.{part}']
        content[owner] = state
    for owner, prefix in (('student', ''), ('teacher', 'teacher.')):
        weights = to_ours(content, owner)
        state = {f'{prefix}backbone.{name}': value for name, value in weights.backbone.items()}
        state.update({prefix + name: value for name, value in weights.rest.items() if name.startswith('neck.')})
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and not [m for m in missing if m.startswith((f'{prefix}backbone', f'{prefix}neck'))]
    return model


def own_vit_name(name: str) -> str:
    """Our name of a parameter of the official iBOT."""
    ours = {
        'backbone.masked_embed': 'backbone.mask_token',
        'backbone.norm.': 'backbone.ln1.',
        'head.': 'neck.',
        'backbone.patch_embed.proj': 'backbone.patch_embed.projection',
        'last_layer.weight_g': 'last_layer.parametrizations.weight.original0',
        'last_layer.weight_v': 'last_layer.parametrizations.weight.original1',
        '.blocks.': '.layers.',
        '.norm1.': '.ln1.',
        '.norm2.': '.ln2.',
        '.mlp.fc1.': '.ffn.layers.0.0.',
        '.mlp.fc2.': '.ffn.layers.1.',
    }
    for theirs, own in ours.items():
        name = name.replace(theirs, own)
    return name


def official_norms(model, names) -> dict[str, float]:
    """L2 norms of the student's gradients by the official names of iBOT."""
    parameters = dict(model.named_parameters())
    return {name: float(parameters[own_vit_name(name)].grad.norm()) for name in names}


def released_views(golden: dict, views: list[Tensor], mixing: str) -> DecoupledViews:
    """The decoupled views of the released step, with mixing in pixels or left to the student."""
    rows, partners = (torch.tensor(golden[name]) for name in ('rows', 'partner rows'))
    cut = formula.from_text(golden['cut masks'])
    images = mix_pixels(torch.cat(views), rows, partners, cut) if mixing == 'pixel' else None
    return DecoupledViews(images, cut, rows, partners, PositionSet.of((~cut).flatten(1).float()))
