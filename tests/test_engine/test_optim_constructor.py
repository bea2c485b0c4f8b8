"""Two groups, by the rule of DINO's `get_params_groups`."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from mmdecouple.engine import PrecisionOptimWrapper
from mmdecouple.registry import OPTIM_WRAPPER_CONSTRUCTORS


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


@pytest.mark.parametrize(
    'options, words',
    [
        (
            dict(norm_decay_mult=0.0),
            'norm_decay_mult is not a key of it; it takes free and lr_mult .config key optim_wrapper.paramwise_cfg',
        ),
        (dict(free=['neck.weight_']), "free has 'neck.weight_', but no trainable"),
        (dict(free=['fixed']), "free has 'fixed', but no trainable"),
        (dict(lr_mult=dict(head=10)), "lr_mult has 'head', but no trainable .*paramwise_cfg.lr_mult"),
        (dict(lr_mult=dict(neck=0)), 'must be a number above 0, got 0 .*lr_mult.neck'),
    ],
)
def test_an_exemption_that_has_no_effect_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        build(Tiny(), **options)
