"""Activation checkpointing leaves a step what it is: batch norms count a batch once, although a block runs twice."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmdecouple.models.layers import count_batches_once

from . import test_pixpro, test_plrc, test_resim, test_soco
from .conftest import BRANCH, RESNET, batch, build, densecl, losses_of


def stepped(config: dict, data: dict, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """All of a model's state after two steps."""
    model = build(config).to(dtype).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05, momentum=0.9)
    for iteration in range(2):
        losses = losses_of(model, data, iteration)
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if name.startswith('loss')).backward()
        optimizer.step()
        model.update_teacher(iteration, 2)
    return model.state_dict()


def resnet(**changes) -> dict:
    return dict(RESNET, **changes)


@pytest.mark.parametrize(
    'config, data',
    [
        (densecl(decoupling=BRANCH), batch()),
        (densecl(backbone=resnet(norm_cfg=dict(type='SplitBN', group_size=2))), batch()),
        (
            densecl(
                backbone=resnet(norm_cfg=dict(type='SplitBN', group_size=2)), data_preprocessor=dict(channels_last=True)
            ),
            batch(),
        ),
        (
            densecl(
                backbone=resnet(depth=50, frozen_stages=1),
                neck=dict(type='mmpretrain.DenseCLNeck', in_channels=128, hid_channels=32, out_channels=16),
            ),
            batch(),
        ),
        (test_soco.soco(decoupling={**BRANCH, 'ratio': 0.5}), test_soco.data()),
        (test_pixpro.with_instance(test_pixpro.pixpro(decoupling=BRANCH)), test_pixpro.data()),
        (test_plrc.plrc(decoupling=BRANCH), test_plrc.data()),
    ],
    ids=['DenseCL-D', 'split batch norm', 'channels last', 'ResNet-50', 'SoCo-D', 'PixPro-D', 'PLRC-D'],
)
def test_a_step_is_the_same_to_the_bit_with_activation_checkpointing(config, data):
    recomputed = dict(config, backbone=dict(config['backbone'], with_cp=True))
    plain, recomputed = stepped(config, data), stepped(recomputed, data)
    assert [name for name, value in plain.items() if not torch.equal(value, recomputed[name])] == []
    assert plain['backbone.layer1.0.bn1.num_batches_tracked'] > 0 or 'frozen_stages' in config['backbone']


def test_checkpointing_of_a_backbone_with_several_outputs_changes_only_the_order_of_sums(monkeypatch):
    monkeypatch.setattr(torch.Tensor, 'float', torch.Tensor.double)
    config = test_resim.resim(decoupling={**BRANCH, 'ratio': 0.5})
    recomputed = dict(config, backbone=dict(config['backbone'], with_cp=True))
    plain, recomputed = (stepped(cfg, test_resim.data(), torch.float64) for cfg in (config, recomputed))
    assert plain['backbone.layer1.0.bn1.num_batches_tracked'] == 2
    torch.testing.assert_close(recomputed, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('reentrant', [True, False])
def test_a_copy_of_a_network_and_both_kinds_of_checkpointing_count_once_too(reentrant):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    network.with_cp = True
    count_batches_once(network)
    network = copy.deepcopy(network)
    images = torch.randn(4, 3, 5, 5, requires_grad=True)
    expected = network[1].running_mean * 0.9 + 0.1 * network[0](images).mean((0, 2, 3))
    checkpoint(network, images, use_reentrant=reentrant).sum().backward()
    torch.testing.assert_close(network[1].running_mean, expected)
    assert network[1].num_batches_tracked == 1
