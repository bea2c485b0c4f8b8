"""The lr of each layer and who is free of weight decay."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmdecouple.downstream import LayerDecayConstructor, PlainViT, ViTPyramid

# r^(13 - id) with r = 0.8, to six digits, for a ViT of 12 blocks: id 0 to 13.
FACTORS = (
    0.0549756,
    0.0687195,
    0.0858993,
    0.1073742,
    0.1342177,
    0.1677722,
    0.2097152,
    0.262144,
    0.32768,
    0.4096,
    0.512,
    0.64,
    0.8,
    1.0,
)
# Of a ViT-S/16 at 224 pixels: embeddings 147,456 + 197 x 384 + 384; a block's four matrices; its biases and norms.
DECAYED = (16 * 16 * 3 * 384 + 197 * 384 + 384, *[12 * 384 * 384] * 12)
FREE = (384, *[13 * 384] * 12)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = PlainViT(arch='deit-small', img_size=224, tap_norm='shared')
        self.neck = ViTPyramid(4, norm_cfg=dict(type='BN'))
        self.bbox_head = nn.Linear(5, 2)


def build(model, **options):
    optimizer = dict(type='AdamW', lr=1e-4, weight_decay=0.05)
    return LayerDecayConstructor(dict(type='OptimWrapper', optimizer=optimizer), options)(model)


def test_the_groups_of_a_vit_s_are_exactly_those_of_the_rule(monkeypatch):
    # Which logger is the current one depends on what ran before.
    printed = []
    monkeypatch.setattr('mmdecouple.downstream.layer_decay.print_log', lambda text, *_: printed.append(text))
    wrapper = build(Detector(), decay_rate=0.8)
    groups = {(group['layer'], group['weight_decay']): group for group in wrapper.optimizer.param_groups}
    assert len(wrapper.param_groups) == len(groups) == 28
    for layer, factor in enumerate(FACTORS):
        for decay, sizes in ((0.05, DECAYED), (0.0, FREE)):
            group = groups[layer, decay]
            assert group['lr'] == pytest.approx(1e-4 * factor, rel=1e-5)
            if layer < 13:
                assert sum(p.numel() for p in group['params']) == sizes[layer]
    others = groups[13, 0.05]['params']
    # Deconvolutions of the pyramid and the head; the backbone's final norm is with the biases.
    assert sorted(tuple(p.shape) for p in others) == [(2, 5), (4, 4, 2, 2), (4, 4, 2, 2), (4, 4, 2, 2)]
    assert sorted(p.numel() for p in groups[13, 0.0]['params']) == [2, 4, 4, 4, 4, 4, 384, 384]
    assert wrapper.get_lr()['lr'][0] == 1e-4
    names = [line.split('│')[1].strip() for line in printed[0].splitlines() if line.startswith('│')]
    expected = ['embeddings', *(f'block {number}' for number in range(12)), 'all else']
    assert len(printed) == 1 and sorted(names) == sorted(expected * 2) and '0.0550' in printed[0]


def test_tokens_are_decayed_as_published_unless_they_are_exempted():
    model = Detector()
    tokens = {id(model.backbone.cls_token), id(model.backbone.pos_embed)}
    for exempt, expected in ((False, 0.05), (True, 0.0)):
        groups = build(model, decay_rate=0.8, exempt_tokens=exempt).optimizer.param_groups
        assert {group['weight_decay'] for group in groups if tokens & {id(p) for p in group['params']}} == {expected}


@pytest.mark.parametrize('options', [None, {}, dict(decay_rate=1)])
def test_all_layers_learn_alike_without_a_rate_or_at_its_limit_and_without_decay_where_the_optimizer_has_none(options):
    constructor = LayerDecayConstructor(dict(optimizer=dict(type='AdamW', lr=1e-4)), options)
    wrapper = constructor(Detector())
    assert type(wrapper) is OptimWrapper
    assert {(group['lr'], group['weight_decay']) for group in wrapper.optimizer.param_groups} == {(1e-4, 0.0)}


@pytest.mark.parametrize(
    'model, options, words',
    [
        (None, dict(decay_rate=0), r'decay_rate must lie in \(0, 1\], got 0 .*paramwise_cfg.decay_rate'),
        (None, dict(layer_decay=0.8), "decay_rate and exempt_tokens, got 'layer_decay'"),
        (None, dict(decay_rate=1.5), r'decay_rate must lie in \(0, 1\], got 1.5 .*paramwise_cfg.decay_rate'),
        (nn.Linear(1, 1), dict(decay_rate=0.8), 'no ViT as its backbone'),
    ],
)
def test_a_wrong_option_is_refused(model, options, words):
    with pytest.raises(ValueError, match=words):
        build(model, **options)


def test_frozen_parameters_are_in_no_group():
    model = Detector()
    model.backbone.layers[0].requires_grad_(False)
    groups = build(model, decay_rate=0.8).optimizer.param_groups
    assert 1 not in {group['layer'] for group in groups}
    assert sum(len(g['params']) for g in groups) == sum(p.requires_grad for p in model.parameters())
    assert torch.is_tensor(groups[0]['params'][0])
