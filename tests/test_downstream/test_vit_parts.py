"""Taps and pyramid against mmpretrain's and mmseg's own modules."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models import VisionTransformer
from mmseg.models.necks.featurepyramid import Feature2Pyramid

from mmdecouple.downstream import PlainViT, ViTPyramid
from mmdecouple.downstream.segmentation import NormedLinearHead
from mmdecouple.utils.errors import UserError

SIZES = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)


def tiny(**options):
    torch.manual_seed(0)
    model = PlainViT(**{**dict(arch=SIZES, img_size=32, patch_size=8, out_indices=(0, 2, 3)), **options})
    model.init_weights()
    model.eval()
    return model


def reference(model, **options):
    other = VisionTransformer(
        SIZES,
        img_size=model.img_size,
        patch_size=8,
        out_indices=[0, 2, 3],
        final_norm=False,
        out_type='featmap',
        **options,
    )
    other.eval()
    other.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith('ln1')})
    return other


@pytest.mark.parametrize('size', [(32, 32), (48, 24)])
def test_taps_are_the_blocks_of_mmpretrain_also_on_another_grid(size):
    model, images = tiny(), torch.randn(2, 3, *size)
    found, expected = model(images), reference(model)(images)
    assert [tuple(x.shape) for x in found] == [(2, 32, size[0] // 8, size[1] // 8)] * 3
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_shared_norm_is_the_final_one_on_every_tap():
    model, images = tiny(tap_norm='shared'), torch.randn(1, 3, 32, 32)
    torch.nn.init.normal_(model.ln1.weight)
    for found, plain in zip(model(images), reference(model)(images)):
        expected = F.layer_norm(plain.permute(0, 2, 3, 1), (32,), model.ln1.weight, model.ln1.bias, 1e-6)
        torch.testing.assert_close(found, expected.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('height, width', [(30, 27), (32, 25), (9, 32), (31, 32)])
def test_an_image_that_the_patch_does_not_divide_is_padded_to_the_right_and_below(height, width):
    model, image = tiny(), torch.randn(1, 3, height, width)
    padded = torch.zeros(1, 3, -(-height // 8) * 8, 32)
    padded[..., :height, :width] = image
    found = model(image)
    assert all(torch.equal(a, b) for a, b in zip(found, model(padded)))
    assert torch.equal(model.dense_map(image), found[-1])


def test_checkpointed_activations_give_the_same_gradients():
    gradients = []
    for with_cp in (False, True):
        model = tiny(with_cp=with_cp)
        model.train()
        sum(x.square().mean() for x in model(torch.ones(1, 3, 32, 32))).backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(tap_norm='each'), "tap_norm must be one of none, shared, got 'each'"),
        (dict(out_indices=(3, 4)), r'ascending indices of 4 blocks, got \[3, 4\]'),
        (dict(out_indices=(-1, 2)), r'ascending indices of 4 blocks, got \[-1, 2\]'),
        (dict(out_indices=()), r'ascending indices of 4 blocks, got \[\]'),
        (dict(out_indices=(2, 2)), 'ascending indices'),
        (dict(out_indices=(2, 1)), 'ascending indices'),
    ],
)
def test_wrong_taps_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        tiny(**options)


def test_the_pyramid_is_that_of_mmseg():
    torch.manual_seed(0)
    ours, theirs = ViTPyramid(6, norm_cfg=dict(type='BN')), Feature2Pyramid(6, norm_cfg=dict(type='BN'))
    ours.levels[0].load_state_dict(theirs.upsample_4x.state_dict())
    ours.levels[1].load_state_dict(theirs.upsample_2x[0].state_dict())
    maps = [torch.randn(2, 6, 4, 5) for _ in range(4)]
    found = ours(maps)
    assert [tuple(x.shape[2:]) for x in found] == [(16, 20), (8, 10), (4, 5), (2, 2)]
    assert all(torch.equal(a, b) for a, b in zip(found, theirs(maps)))
    with pytest.raises(ValueError, match='expected four maps, got 3'):
        ours(maps[:3])


def test_the_pyramid_of_patch_8_is_ibots_other_ladder_and_other_patches_are_refused():
    pyramid = ViTPyramid(6, patch_size=8)
    maps = [torch.randn(2, 6, 8, 12) for _ in range(4)]
    found = pyramid(maps)
    assert [(16 * 8 // one.shape[2]) // 2 for one in found] == [4, 8, 16, 32]
    enlarge = pyramid.levels[0]
    torch.testing.assert_close(found[0], F.conv_transpose2d(maps[0], enlarge.weight, enlarge.bias, 2))
    assert torch.equal(found[1], maps[1])
    assert torch.equal(found[2], F.max_pool2d(maps[2], 2)) and torch.equal(found[3], F.max_pool2d(maps[3], 4))
    with pytest.raises(UserError, match='patch_size must be one of 8, 14, 16, got 12'):
        ViTPyramid(6, patch_size=12)


def test_a_frozen_backbone_stays_in_evaluation_mode_and_gets_no_gradient():
    model = tiny(frozen=True, drop_path_rate=0.5)
    model.train()
    assert not any(module.training for module in model.modules())
    images = torch.randn(2, 3, 32, 32)
    maps = model(images)
    assert not any(one.requires_grad for one in maps)
    assert all(torch.equal(a, b) for a, b in zip(maps, model(images)))
    assert tiny().train().training


def test_the_linear_head_is_a_batch_norm_and_a_convolution_of_one_pixel():
    head = NormedLinearHead(
        in_channels=6,
        in_index=1,
        num_classes=4,
        dropout_ratio=0,
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss'),
    ).eval()
    torch.nn.init.uniform_(head.bn.running_mean)
    maps = [torch.randn(2, 6, 3, 5) for _ in range(2)]
    normed = (maps[1] - head.bn.running_mean[:, None, None]) / (head.bn.running_var[:, None, None] + head.bn.eps).sqrt()
    expected = torch.einsum('bchw,kc->bkhw', normed, head.conv_seg.weight[:, :, 0, 0])
    torch.testing.assert_close(head(maps), expected + head.conv_seg.bias[:, None, None])
