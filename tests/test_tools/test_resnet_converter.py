"""The converter of ResNet and SoCo checkpoints, as a user calls it."""
import argparse
import importlib.util

import pytest
import torch
import torchvision
from mmpretrain.models import ResNet

from mmdecouple.engine import load_weights
from mmdecouple.models import SoCo, SoCoFPN

from .conftest import CHECKOUT_TOOLS

NORM = dict(type='BN')
BACKBONE = dict(type='mmpretrain.ResNet', depth=18, norm_cfg=NORM)


@pytest.fixture(scope='module')
def run():
    """The tool's main function, called with the words of a command line."""
    spec = importlib.util.spec_from_file_location('resnet_tool', CHECKOUT_TOOLS / 'model_converters' / 'resnet.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return lambda *words: tool.main([str(word) for word in words])


def mlp(channels: int) -> dict:
    return dict(type='mmpretrain.NonLinearNeck', in_channels=channels, hid_channels=6, out_channels=5, with_bias=True,
                with_last_bias=True, with_last_bn=False, with_avg_pool=False, norm_cfg=dict(type='BN1d'))


def method(pyramid: bool) -> torch.nn.Module:
    """A SoCo of ours with random values, counters included."""
    if pyramid:
        neck = dict(type='RegionPyramid', in_channels=[64, 128, 256, 512], projector=mlp(7), channels=4, fc_channels=7,
                    norm_cfg=NORM)
        model = SoCoFPN(predictor=mlp(5), backbone=dict(BACKBONE, out_indices=(0, 1, 2, 3)), neck=neck)
    else:
        model = SoCo(predictor=mlp(5), backbone=BACKBONE, neck=mlp(512))
    for value in model.state_dict().values():
        value.random_(1, 9) if value.dtype == torch.long else value.normal_()
    return model


def official(seed: int, name: str) -> tuple[torchvision.models.ResNet, dict]:
    """A ResNet of torchvision, which the SoCo repository's equals name for name, and its tensors as SoCo saves them."""
    torch.manual_seed(seed)
    net = torchvision.models.resnet18()
    for key, value in net.named_buffers():
        value.uniform_(0.5, 1.5) if value.is_floating_point() else value.fill_(3)
    return net.eval(), {f'module.{name}.{key}': value for key, value in net.state_dict().items()
                        if not key.startswith('fc.')}


@pytest.mark.parametrize('pyramid', [False, True])
def test_a_run_goes_to_soco_and_back_and_loads_whole(pyramid, run, tmp_path, capsys):
    model = method(pyramid)
    torch.save(dict(meta=dict(epoch=3), state_dict=model.state_dict(), optimizer={}), tmp_path / 'ours.pth')
    run(tmp_path / 'ours.pth', tmp_path / 'soco.pth', '--to', 'soco')
    printed = capsys.readouterr().out
    assert 'module.encoder_k.layer4.1.bn2.weight' in printed and 'Left out: meta (1), optimizer (1)' in printed
    theirs = torch.load(tmp_path / 'soco.pth', weights_only=True)['model']
    projector = model.teacher.neck.projector if pyramid else model.teacher.neck
    values = {'encoder.layer2.0.downsample.0.weight': model.backbone.layer2[0].downsample[0].weight,
              'projector_k.bn1.running_var': projector.bn0.running_var,
              'predictor.linear2.bias': model.predictor.fc1.bias}
    if pyramid:
        values |= {'neck.lateral_convs.3.conv.weight': model.neck.pyramid.inner_blocks[3][0].weight,
                   'neck_k.fpn_convs.0.bn.weight': model.teacher.neck.pyramid.layer_blocks[0][1].weight,
                   'head.conv4.weight': model.neck.convs[3].conv.weight, 'head_k.fc1.bias': model.teacher.neck.fc.bias}
    assert all(torch.equal(theirs[f'module.{name}'], value) for name, value in values.items())
    run(tmp_path / 'soco.pth', tmp_path / 'again.pth', '--to', 'mmdecouple')
    again = torch.load(tmp_path / 'again.pth', weights_only=True)
    load_weights(method(pyramid), again, 'again.pth', strict=True)
    assert all(torch.equal(value, again['state_dict'][key]) for key, value in model.state_dict().items())
    assert again['meta']['converted_from'] == dict(file='soco.pth', format='soco')


def test_backbones_of_soco_give_torchvisions_features(run, tmp_path):
    (student, states), (teacher, others) = official(0, 'encoder'), official(1, 'encoder_k')
    queue = {'module.queue': torch.zeros(3, 4), 'module.queue_ptr': torch.zeros(1)}
    torch.save(dict(model=states | others | queue, opt=argparse.Namespace(arch='resnet18'), epoch=1),
               tmp_path / 'soco.pth')
    run(tmp_path / 'soco.pth', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    image = torch.randn(2, 3, 64, 64)
    for net, prefix in ((student, 'backbone.'), (teacher, 'teacher.backbone.')):
        own = ResNet(depth=18)
        own.eval()
        own.load_state_dict({key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)})
        features = torch.nn.Sequential(*list(net.children())[:-2])
        torch.testing.assert_close(own(image)[-1], features(image))
    run(tmp_path / 'soco.pth', tmp_path / 'plain.safetensors', '--to', 'torchvision', '--role', 'teacher')
    run(tmp_path / 'plain.safetensors', tmp_path / 'plain.pth', '--to', 'torchvision')
    plain = torch.load(tmp_path / 'plain.pth', weights_only=True)
    assert net.load_state_dict(plain, strict=False).missing_keys == ['fc.weight', 'fc.bias']
    assert all(torch.equal(value, others[f'module.encoder_k.{key}']) for key, value in plain.items())


def test_a_file_of_torchvision_from_before_the_counters_is_whole(run, tmp_path):
    net, _ = official(0, '')
    old = {key: value for key, value in net.state_dict().items() if not key.endswith('num_batches_tracked')}
    torch.save(old, tmp_path / 'old.pth')
    run(tmp_path / 'old.pth', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    load_weights(method(False), found, 'ours.pth')
    assert not found['backbone.bn1.num_batches_tracked']


def change(key: str, value: torch.Tensor | None) -> dict:
    """A SoCo checkpoint with another value, or none, of a tensor."""
    states = official(0, 'encoder')[1] | {f'module.encoder.{key}': value}
    return dict(model={name: value for name, value in states.items() if value is not None})


@pytest.mark.parametrize('content, to, line', [
    (lambda: change('layer4.1.bn2.weight', None), 'mmdecouple', 'ResNet-18 under backbone.* lacks layer4.1.bn2.weight'),
    (lambda: change('layer4.2.conv1.weight', torch.ones(1)), 'mmdecouple', 'has no place for layer4.2.conv1.weight'),
    (lambda: change('layer1.0.conv1.weight', torch.ones(64, 64, 1, 1)), 'mmdecouple', 'shape of layer1.0.conv1'),
    (lambda: change('layer3.5.conv1.weight', torch.ones(1)), 'mmdecouple', 'ResNet-34 under backbone.* lacks layer1.2'),
    (lambda: official(0, 'encoder')[1], 'soco', 'holds both networks of SoCo, but the checkpoint lacks predictor.fc0.'),
    (lambda: dict(model={'blocks.0.norm1.weight': torch.ones(3)}), 'torchvision', 'holds no ResNet that is known')])
def test_a_file_that_is_not_whole_ends_in_one_line_and_leaves_nothing(content, to, line, run, tmp_path, capsys):
    torch.save(content(), tmp_path / 'in.pth')
    with pytest.raises(SystemExit) as end:
        run(tmp_path / 'in.pth', tmp_path / 'out.pth', '--to', to)
    error = capsys.readouterr().err.strip()
    assert end.value.code == 1 and line in error and len(error.splitlines()) == 1
    assert not (tmp_path / 'out.pth').exists()
