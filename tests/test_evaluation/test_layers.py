"""An earlier layer is what a hook, an upstream class or timm gives at that place, with cells of its own."""

import pytest
import timm
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from mmpretrain.models import ResNet
from torch import nn

from mmdecouple.evaluation import lsc_maps, measure_layers, measure_model
from mmdecouple.models import DenseViT
from mmdecouple.models.backbones import dense_maps, layer_strides
from mmdecouple.models.backbones.dense_map import predict_maps
from mmdecouple.networks.foreign import TimmBackbone
from mmdecouple.networks.network import at_layer, open_network
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.weights.formats.vit import from_ours

from .toys import toy_probes

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
        ('timm:test_vit', 'the backbone has no layer 9; it has 1, 2, 3, 4, 5, 6 (tools'),
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


def scaled(network):
    """The network with weights that make every layer differ from the one before."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.model.parameters():
        values = torch.randn(parameter.shape, generator=generator) * 0.1
        parameter.copy_(values.to(parameter.device))
    return network


@pytest.mark.parametrize('word', ['vit', 'cnn', 'timm:test_vit', 'timm:test_convnext', 'timm:test_resnet'])
def test_all_layers_of_one_pass_are_those_of_single_passes_in_any_order(vit, cnn, word):
    network = scaled(open_network(dict(vit=vit[0], cnn=cnn).get(word, word)))
    model, images = network.model, torch.randn(2, 3, 64, 96)
    images = images.to(model.data_preprocessor.device)
    layers = [None, *reversed([*layer_strides(model.measured_backbone)])]
    layers.append(layers[2])
    tokens = [{}] + [dict(class_token=True)] * getattr(model.measured_backbone, 'has_class_token', False)
    for options in tokens:
        together = model.layer_features(images, layers, **options)
        for layer, found in zip(layers, together):
            alone = at_layer(network, layer).model if layer else model
            torch.testing.assert_close(found, alone.dense_features(images, **options), atol=1e-6, rtol=1e-5)
        assert len({round(float(found.double().std()), 9) for found in together}) >= len(layers) - 2


def test_a_backbone_of_others_is_read_layer_by_layer():
    class Doubling(nn.Module):
        stride, layer_strides = 1, {'1': 1, '2': 1}

        def dense_map(self, images, layer=None):
            return images * 2 ** int(layer or 2)

    images = torch.rand(1, 3, 4, 4)
    found = dense_maps(Doubling(), images, ['1', None, '2'])
    assert [float((maps / images).mean()) for maps in found] == pytest.approx([2, 4, 4])
    with pytest.raises(ValueError, match='no layer 3; it has 1, 2'):
        dense_maps(Doubling(), images, ['1', '3'])


MEASURES = (
    dict(type='OKNN', k=5),
    dict(type='ContextShift'),
    dict(type='IntraCouplingRatio', min_cells=4, min_part_cells=1),
    dict(type='LSC', images=3, window=3, cells=9),
    dict(type='PositionLeak', folds=2),
)


@pytest.mark.parametrize('word', ['vit', 'cnn'])
def test_reports_of_one_pass_are_those_of_each_layer_alone(vit, cnn, word):
    network = scaled(open_network(dict(vit=vit[0], cnn=cnn)[word]))
    side = 64 if word == 'cnn' else 48
    toys = [dict(type='ToyObjects', num_images=6, first=first, side=side) for first in range(2)]
    dataset = toy_probes(objects=toys[0], bank=toys[1], singles=None, size=side, cell=side // 8, measures=MEASURES[:3])
    if word == 'vit':
        dataset = toy_probes(objects=toys[0], bank=toys[1], singles=None, size=side, cell=8, measures=MEASURES)
    layers, passes = [*layer_strides(network.model.measured_backbone), None], []
    first = next(iter(network.model.measured_backbone.children()))
    hook = first.register_forward_hook(lambda *_: passes.append(0))
    found = measure_layers(network.model, dataset, layers, batch_size=7)
    hook.remove()
    assert [*found] == layers and len(passes) <= -(-len(dataset) // 7) * 2
    for layer, report in found.items():
        alone = measure_model(at_layer(network, layer).model if layer else network.model, dataset, batch_size=5)
        assert report.keys() == alone.keys() and report['manifest_sha256'] == alone['manifest_sha256']
        assert report['metrics'].keys() == alone['metrics'].keys()
        for key, entry in alone['metrics'].items():
            assert report['metrics'][key] == pytest.approx(entry, abs=1e-6), (layer, key)
        for key, values in alone['values'].items():
            assert report['values'][key] == pytest.approx(values, abs=1e-5), (layer, key)
    assert len({report['metrics']['context_shift']['value'] for report in found.values()}) == len(layers)
