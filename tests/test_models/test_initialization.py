"""What a network starts from: the statistics of every tensor against the formula of the authors' initialization."""

import math

import pytest
import torch
from torch import nn

from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

MOST = 100_000


def started(name, seed=0):
    torch.manual_seed(seed)
    model = MODELS.build(load_config(f'mmdecouple::{name}.py').model)
    model.init_weights()
    return model


def is_normal(values, deviation):
    """Mean, deviation and kurtosis within five standard errors of a normal distribution's."""
    values = values.detach().flatten()[:MOST].double()
    count = values.numel()
    return (
        abs(values.mean()) < 5 * deviation / math.sqrt(count)
        and values.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * count))
        and (values / deviation).pow(4).mean() == pytest.approx(3, abs=5 * math.sqrt(96 / count))
    )


def is_uniform(values, bound):
    """As torch starts convolutions and linear layers: uniform up to the bound."""
    values = values.detach().flatten()[:MOST].double()
    return values.abs().max() <= bound and values.std() == pytest.approx(
        bound / math.sqrt(3), rel=5 * math.sqrt(0.2 / values.numel())
    )


def fans(layer):
    receptive = layer.weight[0, 0].numel() if layer.weight.dim() > 2 else 1
    return layer.weight.shape[1] * receptive, layer.weight.shape[0] * receptive


@pytest.mark.parametrize('name', ['densecl/densecl_r50_8xb32-800e_coco', 'demo/densecl_resnet-demo_scenes'])
def test_densecl_starts_as_the_authors_code_does(name):
    model = started(name)
    for part in (model.backbone, model.neck.mlp):
        for key, layer in part.named_modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                assert is_normal(layer.weight, math.sqrt(2 / fans(layer)[0])), key
                assert layer.bias is None or not layer.bias.any(), key
            elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
                assert (layer.weight == 1).all() and not layer.bias.any(), key
    for layer in (model.neck.mlp2[0], model.neck.mlp2[2]):
        bound = 1 / math.sqrt(fans(layer)[0])
        assert is_uniform(layer.weight, bound) and is_uniform(layer.bias, bound)
    student, teacher = model.backbone.state_dict(), model.teacher.state_dict()
    assert all(torch.equal(teacher[f'backbone.{key}'], value) for key, value in student.items())


def test_moco_v2_starts_as_torchvisions_resnet_does():
    model = started('mocov2/mocov2_r50_8xb32-800e_coco')
    for key, layer in model.backbone.named_modules():
        if isinstance(layer, nn.Conv2d):
            assert is_normal(layer.weight, math.sqrt(2 / fans(layer)[1])), key
    for layer in (layer for layer in model.neck.modules() if isinstance(layer, nn.Linear)):
        bound = 1 / math.sqrt(layer.in_features)
        assert is_uniform(layer.weight, bound) and is_uniform(layer.bias, bound)


def sinusoids(side, width):
    """MAE's fixed positions, an independent loop: of each patch first its column's half, sines before cosines."""

    def of(place):
        angles = [place / 10000 ** (4 * index / width) for index in range(width // 4)]
        return [turn(angle) for turn in (math.sin, math.cos) for angle in angles]

    return torch.tensor([of(column) + of(row) for row in range(side) for column in range(side)])


@pytest.mark.parametrize('position', ['learned', 'sincos'])
def test_a_vit_starts_as_ibots_with_learned_positions_and_as_maes_with_fixed_ones(position):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(type='DenseViT', arch='base', img_size=64, patch_size=16, position=position, mask_token=True)
    )
    model.init_weights()
    fixed = position == 'sincos'
    for key, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / sum(fans(layer)))
            assert is_uniform(layer.weight, bound) if fixed else is_normal(layer.weight, 0.02), key
            assert not layer.bias.any(), key
    assert is_normal(model.cls_token, 0.02) and not model.mask_token.any()
    assert model.pos_embed.requires_grad == (not fixed)
    if fixed:
        assert not model.pos_embed[0, 0].any()
        torch.testing.assert_close(model.pos_embed[0, 1:], sinusoids(4, 768), atol=1e-6, rtol=1e-5)
        # Xavier's rule on the projection as a matrix.
        assert is_uniform(model.patch_embed.projection.weight, math.sqrt(6 / (3 * 16 * 16 + 768)))
    else:
        assert is_normal(model.pos_embed, 0.02)
