"""An earlier layer is what a hook, an upstream class or timm gives at that place, with cells of its own."""

import pytest
import timm
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from mmpretrain.models import ResNet
from torch import nn

from mmdecouple.evaluation import lsc_maps
from mmdecouple.models import DenseViT
from mmdecouple.models.backbones.dense_map import predict_maps
from mmdecouple.networks.foreign import TimmBackbone
from mmdecouple.networks.network import open_network
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.weights.formats.vit import from_ours

CNN = """
model = dict(type='DenseCL', backbone=dict(type='mmpretrain.ResNet', {arch}),
             neck=dict(type='mmpretrain.DenseCLNeck', in_channels=32, hid_channels=8, out_channels=8, num_grid=None),
             queue_length=8)
"""
VIT = """
arch = dict(embed_dims=48, num_layers=1, num_heads={heads}, feedforward_channels=48)
model = dict(type='DenseCL', data_preprocessor=dict(type='DensePreprocessor', mean=[{mean}] * 3),
             backbone=dict(type='DenseViT', arch=arch, img_size=32, patch_size=8),
             neck=dict(type='mmpretrain.DenseCLNeck', in_channels=48, hid_channels=8, out_channels=8, num_grid=None),
             queue_length=8)
"""
ARCH = dict(depth=18, stem_channels=4, base_channels=4, strides=(1, 2, 2, 2), out_indices=(3,))


@pytest.fixture(scope='module')
def vit(tmp_path_factory):
    """A ViT of three blocks in a published format: the file and the backbone that wrote it."""
    init_default_scope('mmdecouple')
    arch = dict(embed_dims=192, num_layers=3, num_heads=3, feedforward_channels=192)
    backbone = DenseViT(arch, img_size=32, patch_size=8, norm_cfg=dict(type='LN', eps=1e-6))
    backbone.eval()
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp('vit') / 'dino.pth'
    torch.save(from_ours(backbone.state_dict(), 'dino'), path)
    return str(path), backbone


@pytest.fixture(scope='module')
def cnn(tmp_path_factory):
    path = tmp_path_factory.mktemp('cnn') / 'cnn.py'
    path.write_text(CNN.format(arch=', '.join(f'{key}={value!r}' for key, value in ARCH.items())))
    return str(path)


def read(word, images, layer=None):
    """The opened network and its map of the images, on the CPU."""
    network = open_network(word, layer=layer)
    device = network.model.data_preprocessor.device
    return network, network.model.dense_features(images.to(device)).cpu()


def as_map(tokens, grid):
    return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)


def test_a_block_of_a_vit_is_what_a_hook_on_it_sees_and_the_last_one_lacks_only_the_norm(vit):
    word, backbone = vit
    seen, images = [], torch.randn(2, 3, 24, 40)
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output)) for layer in backbone.layers
    ]
    with torch.no_grad():
        backbone(images)
    for hook in hooks:
        hook.remove()
    for number, tokens in enumerate(seen, 1):
        network, found = read(word, images, number)
        torch.testing.assert_close(found, as_map(tokens, (3, 5)), atol=1e-4, rtol=1e-4)
        assert network.cell == 8 and network.name.endswith(f'-dino-block{number}')
    whole = read(word, images)[1]
    torch.testing.assert_close(as_map(backbone.ln1(seen[-1]), (3, 5)).detach(), whole, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(whole, found, atol=0.1)


def test_a_stage_of_a_resnet_is_what_its_out_indices_give(cnn):
    images = torch.randn(2, 3, 64, 96)
    reference = ResNet(**{**ARCH, 'out_indices': (0, 1, 2, 3)})
    reference.eval()
    for index, cell in enumerate((4, 8, 16, 32)):
        network, found = read(cnn, images, f'layer{index + 1}')
        reference.load_state_dict(network.model.measured_backbone.state_dict())
        with torch.no_grad():
            expected = reference(images)[index]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        assert network.cell == cell == 64 // expected.shape[2]
    network, enlarged = read(cnn, images)
    assert network.cell == 16 and enlarged.shape[2:] == (4, 6)


def test_a_layer_of_timm_is_what_timm_gives():
    images = torch.randn(2, 3, 64, 96)
    network = open_network('timm:test_vit', layer=3)
    for parameter in network.model.parameters():
        nn.init.normal_(parameter, std=0.1)
    found = network.model.dense_features(images.to(network.model.data_preprocessor.device)).cpu()
    expected = (
        network.model.backbone.model.get_intermediate_layers(
            images.to(network.model.data_preprocessor.device), n=[2], reshape=True
        )[0]
        .detach()
        .cpu()
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    network, found = read('timm:test_resnet', images[:, :, :40, :72], 'layer2')
    backbone = timm.create_model('test_resnet', features_only=True, out_indices=[2]).eval()
    backbone.load_state_dict(network.model.backbone.model.state_dict(), strict=False)
    with torch.no_grad():
        expected = backbone(images[:, :, :40, :72])[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert network.cell == 8 and expected.shape[2:] == (5, 9), 'the image need not divide into the last cells'


def test_maps_are_of_the_layer_and_told_apart_by_it(cnn):
    image = torch.randn(1, 3, 48, 48)
    networks = [open_network(cnn, layer=layer) for layer in (None, 'layer2', 'layer3')]
    maps = [lsc_maps(network.model, image, network.cell, window=3) for network in networks]
    assert [tuple(found.shape[1:]) for found in maps] == [(3, 3), (6, 6), (3, 3)]
    assert len({fingerprint(network) for network in networks}) == 3


def test_a_fingerprint_sees_settings_without_weights(tmp_path):
    """Heads, strides and image statistics change what is computed, but no tensor that a file holds."""
    found, weights = set(), tmp_path / 'weights.pth'
    for place, (heads, mean) in enumerate(((3, 118.0), (6, 118.0), (3, 120.0), (3, 118.0))):
        config = tmp_path / f'{place}.py'
        config.write_text(VIT.format(heads=heads, mean=mean))
        if not weights.exists():
            torch.save(dict(state_dict=open_network(str(config)).model.state_dict()), weights)
        found.add(fingerprint(open_network(f'{config}={weights}')))
    assert len(found) == 3


@pytest.mark.parametrize(
    'layer, line',
    [
        ('0', '-dino: the backbone has no layer 0; it has 1, 2, 3 (tools: --layer).'),
        (4, 'no layer 4'),
        ('layer3', 'no layer layer3'),
    ],
)
def test_an_unknown_block_is_one_line_that_lists_them(vit, layer, line):
    with pytest.raises(ValueError) as caught:
        open_network(vit[0], layer=layer)
    assert line in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'word, line',
    [
        (None, 'cnn-untrained: the backbone has no layer 9; it has layer1, layer2, layer3, layer4 (tools: --layer).'),
        ('timm:test_resnet', 'the backbone has no layer 9; it has act1, layer1, layer2, layer3, layer4 (tools'),
        ('timm:test_vit', 'the backbone has 1, 2, 3, 4, 5, 6 (tools'),
    ],
)
def test_an_unknown_layer_is_one_line_that_names_the_network(cnn, word, line):
    with pytest.raises(ValueError) as caught:
        open_network(word or cnn, layer='9')
    assert line in str(caught.value) and '\n' not in str(caught.value)


def test_masked_patches_go_to_where_the_images_are():
    def read(images, mask):
        assert mask.device == images.device and mask.shape == (2, 4, 4)
        return torch.zeros(2, 3, 4, 4)

    samples = [BaseDataElement(masked=torch.ones(4, 4, dtype=torch.bool)) for _ in range(2)]
    maps = predict_maps(read, [torch.zeros(3, 32, 32, device='meta')] * 2, samples, 'tensor')
    assert len(maps) == 2


def test_places_of_a_cnn_have_timms_names_whatever_they_are_called():
    backbone = TimmBackbone(timm.create_model('convnext_atto'))
    assert backbone.layer_strides == {f'stages.{index}': 4 * 2**index for index in range(4)}
    assert not backbone.has_class_token
