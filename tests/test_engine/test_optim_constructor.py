"""Two groups, by the rule of DINO's `get_params_groups`."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from mmdecouple.engine import PrecisionOptimWrapper
from mmdecouple.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from tests.test_models.golden_models import ibot


class Tiny(nn.Module):
    """One of each kind of parameter that the ViT methods have."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.ones(1, 1, 4))
        self.pos_embed = nn.Parameter(torch.ones(1, 5, 4))
        self.mask_token = nn.Parameter(torch.ones(1, 4))
        self.fixed = nn.Parameter(torch.ones(3, 3), requires_grad=False)
        self.ln = nn.LayerNorm(4)
        self.neck = nn.Module()
        self.neck.weights = nn.Parameter(torch.eye(3))
        self.last_layer = weight_norm(nn.Linear(4, 6, bias=False))
        self.linear = nn.Linear(4, 4)


def build(model, **options):
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type='DecayGroupsConstructor',
            optim_wrapper_cfg=dict(
                type='PrecisionOptimWrapper', precision='fp32', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04)
            ),
            paramwise_cfg=options or None,
        )
    )
    return constructor(model)


def names_of(model, group):
    return {name for name, p in model.named_parameters() if any(p is member for member in group['params'])}


@pytest.mark.parametrize('options, moved', [({}, set()), (dict(free=['neck.weights']), {'neck.weights'})])
def test_norms_and_biases_alone_are_free_of_decay_unless_named(options, moved):
    model = Tiny()
    wrapper = build(model, **options)
    decayed, free = wrapper.optimizer.param_groups
    gain, direction = (f'last_layer.parametrizations.weight.original{index}' for index in (0, 1))
    assert (
        names_of(model, decayed)
        == {'cls_token', 'pos_embed', 'mask_token', 'neck.weights', gain, direction, 'linear.weight'} - moved
    )
    assert names_of(model, free) == {'ln.weight', 'ln.bias', 'linear.bias'} | moved
    assert (decayed['weight_decay'], free['weight_decay']) == (0.04, 0)
    assert isinstance(wrapper, PrecisionOptimWrapper) and len(wrapper.param_groups) == 2


def test_parameters_named_by_lr_mult_have_groups_of_their_own():
    model = Tiny()
    groups = build(model, lr_mult={'neck': 10, 'linear': 10, 'token': 0.5}).optimizer.param_groups
    assert [(group['lr'], group['weight_decay']) for group in groups] == [
        (rate, decay) for rate in (1e-3, 1e-2, 5e-4) for decay in (0.04, 0)
    ]
    assert names_of(model, groups[2]) == {'neck.weights', 'linear.weight'}
    assert names_of(model, groups[3]) == {'linear.bias'} and names_of(model, groups[4]) == {'cls_token', 'mask_token'}
    assert sum(len(group['params']) for group in groups) == len([p for p in model.parameters() if p.requires_grad])


def test_layers_of_a_vit_have_rates_that_fall_towards_the_input_and_heads_have_the_full_one():
    model = MODELS.build(ibot())
    wrapper = build(model, layer_decay=0.5, lr_mult={'neck': 10})
    rates = {id(p): group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    # Two blocks: embeddings are layer 0, blocks 1 and 2, all else 3.
    layers = {'backbone.layers.0.': 1, 'backbone.layers.1.': 2, 'backbone.ln1.': 3}
    for name, parameter in trained.items():
        layer = next((number for start, number in layers.items() if name.startswith(start)), 0)
        expected = 1e-2 if name.startswith('neck.') else 1e-3 * 0.5 ** (3 - layer)
        assert rates[id(parameter)] == pytest.approx(expected, rel=1e-12), name
    assert wrapper.get_lr()['lr'][0] == 1e-3 and len(rates) == len(trained)


@pytest.mark.parametrize(
    'options, words',
    [
        (
            dict(norm_decay_mult=0.0),
            'norm_decay_mult is not a key of it; it takes free, lr_mult and layer_decay .config key optim_wrapper.par',
        ),
        (dict(free=['neck.weight_']), "free has 'neck.weight_', but no trainable"),
        (dict(free=['fixed']), "free has 'fixed', but no trainable"),
        (dict(lr_mult=dict(head=10)), "lr_mult has 'head', but no trainable .*paramwise_cfg.lr_mult"),
        (dict(layer_decay=1.5), r'layer_decay must .*\(0, 1\], got 1.5 .*paramwise_cfg.layer_decay'),
        (dict(layer_decay=0.9), 'layer_decay is for models with a ViT as backbone .*; remove it'),
        (dict(lr_mult=dict(neck=0)), 'must be a number above 0, got 0 .*lr_mult.neck'),
    ],
)
def test_an_exemption_that_has_no_effect_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        build(Tiny(), **options)
