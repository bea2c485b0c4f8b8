"""Dense maps of ResNets, ViTs and other backbones, and what a DenseViT takes and refuses."""

import re
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from mmpretrain.models import ResNet, ResNetV1d, VisionTransformer
from torch import nn

from mmdecouple.models import DenseViT
from mmdecouple.models.backbones import (
    dense_map,
    finite_map,
    layer_strides,
    measured_stride,
    predict_maps,
    split_last_stage,
    stride_of,
)

SIZES = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


def vit(**options):
    torch.manual_seed(0)
    model = DenseViT(**dict(arch=SIZES, img_size=32, patch_size=8, mask_token=True) | options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    model.eval()
    return model


def resnet(kind=ResNet, **options):
    torch.manual_seed(0)
    model = kind(**dict(depth=18, stem_channels=8, base_channels=8, out_indices=(0, 1, 2, 3)) | options)
    model.eval()
    return model


@pytest.mark.parametrize('kind', [ResNet, ResNetV1d])
@pytest.mark.parametrize('strides', [(1, 2, 2, 2), (1, 2, 2, 1), (1, 2, 1, 2)])
def test_the_last_stage_of_a_resnet_runs_on_what_enters_it_enlarged_by_its_stride(kind, strides):
    model, images = resnet(kind, strides=strides), torch.randn(2, 3, 64, 96)
    stages = model(images)
    size = [side * strides[-1] for side in stages[2].shape[2:]]
    enlarged = F.interpolate(stages[2], size, mode='bilinear', align_corners=False)
    torch.testing.assert_close(dense_map(model, images), model.layer4(enlarged))
    before, last = split_last_stage(model, images)
    assert torch.equal(before, stages[2]) and last is model.layer4
    assert stride_of(model) == 64 // stages[3].shape[2]
    assert measured_stride(model) == 64 // dense_map(model, images).shape[2]
    assert layer_strides(model) == {f'layer{index + 1}': 64 // stage.shape[2] for index, stage in enumerate(stages)}
    for index, stage in enumerate(stages):
        assert torch.equal(dense_map(model, images, layer=f'layer{index + 1}'), stage)


def test_any_other_backbone_gives_its_last_output():
    convolution, images = nn.Sequential(nn.Conv2d(3, 4, 3)), torch.randn(2, 3, 8, 8)
    assert torch.equal(dense_map(convolution, images), convolution(images))
    several = type('Several', (nn.Module,), dict(forward=lambda self, x: (x, 2 * x)))()
    assert torch.equal(dense_map(several, images), 2 * images)
    assert stride_of(convolution) is measured_stride(convolution) is None and layer_strides(convolution) == {}


def test_a_vit_is_mmpretrains_on_images_of_any_sides():
    model, images = vit(), torch.randn(2, 3, 16, 40)
    upstream = partial(VisionTransformer, SIZES, img_size=32, patch_size=8)
    for options, read in (
        (dict(out_type='featmap'), {}),
        (dict(out_type='cls_token'), dict(class_token=True)),
        (dict(out_type='featmap', out_indices=0, final_norm=False), dict(layer='1')),
        (dict(out_type='cls_token', out_indices=0, final_norm=False), dict(layer='1', class_token=True)),
    ):
        other = upstream(**options)
        other.load_state_dict(model.state_dict(), strict=False)
        other.eval()
        expected = other(images)[0]
        found = dense_map(model, images, **read)
        torch.testing.assert_close(
            found, expected.reshape(2, 32, *((1, 1) if 'class_token' in read else (2, 5))), rtol=1e-4, atol=1e-5
        )
    assert stride_of(model) == measured_stride(model) == 8 and layer_strides(model) == {'1': 8, '2': 8}


def test_masked_patches_are_seen_through_the_token_alone():
    model, images, mask = vit(), torch.randn(2, 3, 16, 40), torch.zeros(2, 2, 5, dtype=torch.bool)
    mask[0, 1, 3] = mask[1, 0, 0] = True
    changed = images.clone()
    changed[0, :, 8:, 24:32] = changed[1, :, :8, :8] = 9
    assert torch.equal(dense_map(model, images, mask), dense_map(model, changed, mask))
    assert not torch.allclose(dense_map(model, images, mask), dense_map(model, images))
    assert torch.equal(dense_map(model, images, torch.zeros_like(mask)), dense_map(model, images))


@pytest.mark.parametrize(
    'backbone, given, words',
    [
        (resnet, dict(class_token=True), "ResNet has no class token; leave LSC's crop_feature at 'patches' for it."),
        (resnet, dict(mask=torch.ones(2, 2, 2)), 'ResNet has no mask token to put in place of removed cells; remove'),
        (partial(vit, mask_token=False), dict(mask=torch.ones(2, 2, 2)), 'DenseViT has no mask token'),
        (
            resnet,
            dict(layer='layer5'),
            'the backbone has no layer layer5; it has layer1, layer2, layer3, layer4 (tools',
        ),
        (nn.Identity, dict(layer='1'), 'no layer 1; it has none that can be named (tools: --layer).'),
        (
            vit,
            dict(mask=torch.ones(2, 3, 5, dtype=torch.bool)),
            'DenseViT: a mask of 3 x 5 cells is not on the grid of 2 x 4 tokens of a view of 16 x 32 pixels (patch 8).',
        ),
    ],
)
def test_what_a_backbone_does_not_have_is_refused(backbone, given, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        dense_map(backbone(), torch.zeros(2, 3, 16, 32), **given)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('sides', [(12, 32), (32, 12), (12, 12)])
def test_views_that_the_patch_does_not_divide_are_refused_with_both_sides(sides):
    words = f'DenseViT: a patch of 8 pixels does not divide a view of {sides[0]} x {sides[1]} pixels'
    with pytest.raises(ValueError, match=words):
        vit()(torch.zeros(1, 3, *sides))
    with pytest.raises(ValueError, match=words):
        vit(img_size=sides)


def test_stochastic_depth_does_not_break_the_graph_of_a_compiled_block():
    model = vit(drop_path_rate=0.5)
    model.train()
    for layer in model.layers:
        torch._dynamo.reset()
        found = torch._dynamo.explain(layer)(torch.randn(2, 17, 32))
        assert (found.graph_count, found.graph_break_count) == (1, 0)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_one_value_that_is_not_finite_is_refused(value):
    features = torch.ones(2, 3, 4, 4, dtype=torch.half)
    assert finite_map(features).dtype == torch.float32
    features[1, 2, 3, 3] = value
    with pytest.raises(ValueError, match='the features of the network are not finite'):
        finite_map(features)


def test_images_of_several_kinds_are_read_together_by_kind_and_given_back_in_their_order():
    calls = []

    def read(images, mask=None, class_token=False):
        calls.append((tuple(images.shape), mask is not None, class_token))
        value = images.flatten(1).mean(1) + (0 if mask is None else mask.flatten(1).float().sum(1))
        return value[:, None, None, None]

    kinds = [
        (8, False, False),
        (8, True, False),
        (16, False, False),
        (8, False, True),
        (8, True, False),
        (8, False, False),
        (16, False, False),
        (16, False, True),
    ]
    images = [torch.full((3, side, side), float(index)) for index, (side, *_) in enumerate(kinds)]
    samples = [
        BaseDataElement(
            **(dict(masked=torch.ones(1, index, dtype=torch.bool)[:, :1]) if masked else {}),
            **(dict(class_token=True) if token else {}),
        )
        for index, (_, masked, token) in enumerate(kinds)
    ]
    expected = [index + masked for index, (_, masked, _) in enumerate(kinds)]
    assert [one.item() for one in predict_maps(read, images, samples, 'tensor')] == expected
    assert sorted(calls) == sorted(
        [
            ((2, 3, 8, 8), False, False),
            ((2, 3, 8, 8), True, False),
            ((2, 3, 16, 16), False, False),
            ((1, 3, 8, 8), False, True),
            ((1, 3, 16, 16), False, True),
        ]
    )
    found = predict_maps(read, images, samples, 'predict')
    assert all(one is sample for one, sample in zip(found, samples)) and [one.dense.item() for one in found] == expected
    assert [one.dense.item() for one in predict_maps(read, images, None, 'predict')] == list(range(8))
