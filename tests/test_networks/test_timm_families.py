"""Networks of timm that differ from a ViT or a ResNet: fixed sizes, no norm of maps, repeated names, other grids."""

import pytest
import timm
import torch
from torch import nn

from mmdecouple.networks.foreign import ForeignNetwork, TimmBackbone, timm_network
from mmdecouple.networks.inference import try_size
from mmdecouple.utils.errors import UserError


def raw(network, index, images, norm=False):
    model = network.backbone.model
    return model.forward_intermediates(images, indices=[index], norm=norm, intermediates_only=True)[0]


def test_maps_of_one_name_are_told_apart_by_their_strides():
    network, images = timm_network('coat_tiny').eval(), torch.randn(1, 3, 224, 224)
    strides = network.backbone.layer_strides
    assert list(strides.items())[1:] == [(f'parallel_blocks/{stride}', stride) for stride in (8, 16, 32)]
    for index, (name, found) in enumerate(zip(strides, network.layer_features(images, list(strides)))):
        assert found.shape[-1] == 224 // strides[name]
        torch.testing.assert_close(found, raw(network, index, images))
    torch.testing.assert_close(network.dense_features(images), raw(network, 3, images, norm=True))


def test_a_network_without_a_norm_of_maps_gives_its_plain_output():
    network, images = timm_network('hiera_tiny_224').eval(), torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(network.dense_features(images), raw(network, 3, images))


@pytest.mark.parametrize('name', ['test_vit_relpos', 'pit_ti_224', 'mvitv2_tiny'])
def test_a_size_that_a_network_does_not_support_is_named(name):
    # They fail with an AssertionError, a RuntimeError and an IndexError.
    network = timm_network(name)
    kind, made_for = type(network.backbone.model).__name__, network.backbone.model.pretrained_cfg['input_size'][1]
    try_size(network, made_for, made_for)
    with pytest.raises(UserError, match=f'cannot process {made_for} x 448 pixels with this {kind}, .* {made_for} x'):
        try_size(network, made_for, 448)


def test_trying_a_size_changes_nothing():
    network = timm_network('test_resnet').train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    try_size(network, 64, 64)
    assert network.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class Unpadded(nn.Sequential):
    stride = 8

    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 9, stride=8))


def test_a_map_that_does_not_tile_the_image_is_refused():
    network = ForeignNetwork(Unpadded())
    with pytest.raises(UserError, match='has 7 x 15 positions for 64 x 128 pixels, and not the 8 x 16 of the stride 8'):
        network.dense_features(torch.rand(1, 3, 64, 128))
    inception = ForeignNetwork(TimmBackbone(timm.create_model('inception_v3', num_classes=0))).eval()
    with pytest.raises(UserError, match='has 2 x 2 positions for 128 x 128 pixels, and not the 4 x 4'):
        inception.dense_features(torch.rand(1, 3, 128, 128))
