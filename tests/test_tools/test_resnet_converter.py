"""The converter of ResNet and SoCo checkpoints, as a user calls it."""

import argparse
import functools
import os
import pickle
import re

import numpy as np
import pytest
import torch
import torchvision
from mmpretrain.models import ResNet

from mmdecouple.engine import load_weights
from mmdecouple.models import PixPro, ReSim, SoCo, SoCoFPN
from mmdecouple.weights.pretrained import read_pretrained

NORM = dict(type='BN')
BACKBONE = dict(type='mmpretrain.ResNet', depth=18, norm_cfg=NORM)


def mlp(channels: int) -> dict:
    return dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=channels,
        hid_channels=6,
        out_channels=5,
        with_bias=True,
        with_last_bias=True,
        with_last_bn=False,
        with_avg_pool=False,
        norm_cfg=dict(type='BN1d'),
    )


def method(pyramid: bool) -> torch.nn.Module:
    """A SoCo of ours with random values, counters included."""
    if pyramid:
        neck = dict(
            type='RegionPyramid',
            in_channels=[64, 128, 256, 512],
            projector=mlp(7),
            channels=4,
            fc_channels=7,
            norm_cfg=NORM,
        )
        model = SoCoFPN(predictor=mlp(5), backbone=dict(BACKBONE, out_indices=(0, 1, 2, 3)), neck=neck)
    else:
        model = SoCo(predictor=mlp(5), backbone=BACKBONE, neck=mlp(512))
    for value in model.state_dict().values():
        value.random_(1, 9) if value.dtype == torch.long else value.normal_()
    return model


@functools.cache
def network(seed: int) -> torchvision.models.ResNet:
    torch.manual_seed(seed)
    net = torchvision.models.resnet18()
    for key, value in net.named_buffers():
        value.uniform_(0.5, 1.5) if value.is_floating_point() else value.fill_(3)
    return net.eval()


def official(seed: int, name: str) -> tuple[torchvision.models.ResNet, dict]:
    """A ResNet of torchvision, which the SoCo repository's equals name for name, and its tensors as SoCo saves them."""
    net = network(seed)
    return net, {f'module.{name}.{key}': value for key, value in net.state_dict().items() if not key.startswith('fc.')}


@pytest.mark.parametrize('pyramid', [False, True])
def test_a_run_goes_to_soco_and_back_and_loads_whole(pyramid, convert, tmp_path, capsys):
    model = method(pyramid)
    torch.save(dict(meta=dict(epoch=3), state_dict=model.state_dict(), optimizer={}), tmp_path / 'ours.pth')
    convert(tmp_path / 'ours.pth', tmp_path / 'soco.pth', '--to', 'soco')
    printed = capsys.readouterr().out
    assert 'module.encoder_k.layer4.1.bn2.weight' in printed and 'Left out: meta (1), optimizer (1)' in printed
    theirs = torch.load(tmp_path / 'soco.pth', weights_only=True)['model']
    projector = model.teacher.neck.projector if pyramid else model.teacher.neck
    values = {
        'encoder.layer2.0.downsample.0.weight': model.backbone.layer2[0].downsample[0].weight,
        'projector_k.bn1.running_var': projector.bn0.running_var,
        'predictor.linear2.bias': model.predictor.fc1.bias,
    }
    if pyramid:
        values |= {
            'neck.lateral_convs.3.conv.weight': model.neck.pyramid.inner_blocks[3][0].weight,
            'neck_k.fpn_convs.0.bn.weight': model.teacher.neck.pyramid.layer_blocks[0][1].weight,
            'head.conv4.weight': model.neck.convs[3].conv.weight,
            'head_k.fc1.bias': model.teacher.neck.fc.bias,
        }
    assert all(torch.equal(theirs[f'module.{name}'], value) for name, value in values.items())
    convert(tmp_path / 'soco.pth', tmp_path / 'again.pth', '--to', 'mmdecouple')
    again = torch.load(tmp_path / 'again.pth', weights_only=True)
    load_weights(method(pyramid), again, 'again.pth', strict=True)
    assert all(torch.equal(value, again['state_dict'][key]) for key, value in model.state_dict().items())
    assert again['meta']['converted_from'] == dict(file='soco.pth', format='soco')


@pytest.mark.parametrize('instance', [False, True])
def test_a_run_goes_to_pixpro_and_back_and_loads_whole(instance, convert, tmp_path, capsys):
    widths = dict(hidden_channels=6, out_channels=5, norm_cfg=NORM)
    head = dict(type='PixelMLP', in_channels=5, **widths) if instance else None

    def pixpro() -> PixPro:
        return PixPro(
            backbone=BACKBONE,
            neck=dict(type='PixelHeads', in_channels=512, instance=instance, **widths),
            predictor=dict(type='PixelPropagationModule', channels=5),
            instance_predictor=head,
        )

    model = pixpro()
    for value in model.state_dict().values():
        value.random_(1, 9) if value.dtype == torch.long else value.normal_()
    torch.save(dict(meta=dict(epoch=3), state_dict=model.state_dict()), tmp_path / 'ours.pth')
    convert(tmp_path / 'ours.pth', tmp_path / 'pixpro.pth', '--to', 'pixpro')
    theirs = torch.load(tmp_path / 'pixpro.pth', weights_only=True)['model']
    # Names of `contrast/models/PixPro.py`, as its training saves them.
    values = {
        'encoder.layer2.0.downsample.0.weight': model.backbone.layer2[0].downsample[0].weight,
        'encoder_k.bn1.running_mean': model.teacher.backbone.bn1.running_mean,
        'projector.linear1.weight': model.neck.dense.linear1.weight,
        'projector_k.bn1.running_var': model.teacher.neck.dense.bn1.running_var,
        'value_transform.weight': model.predictor.transform.weight,
    }
    if instance:
        values |= {
            'projector_instance.linear2.bias': model.neck.instance.linear2.bias,
            'projector_instance_k.linear1.weight': model.teacher.neck.instance.linear1.weight,
            'predictor.bn1.bias': model.instance_predictor.bn1.bias,
        }
    assert all(torch.equal(theirs[f'module.{name}'], value) for name, value in values.items())
    assert len(theirs) == len([name for name in model.state_dict() if 'preprocessor' not in name])
    convert(tmp_path / 'pixpro.pth', tmp_path / 'again.pth', '--to', 'mmdecouple')
    again = torch.load(tmp_path / 'again.pth', weights_only=True)
    load_weights(pixpro(), again, 'again.pth', strict=True)
    assert all(torch.equal(value, again['state_dict'][key]) for key, value in model.state_dict().items())
    assert again['meta']['converted_from'] == dict(file='pixpro.pth', format='pixpro')
    # What detectors take: the student's backbone, as its authors transfer it.
    read = read_pretrained(str(tmp_path / 'pixpro.pth'))
    assert torch.equal(read.state['layer4.1.bn2.weight'], model.backbone.layer4[1].bn2.weight)


def test_backbones_of_soco_give_torchvisions_features(convert, tmp_path):
    (student, states), (teacher, others) = official(0, 'encoder'), official(1, 'encoder_k')
    queue = {'module.queue': torch.zeros(3, 4), 'module.queue_ptr': torch.zeros(1)}
    torch.save(
        dict(model=states | others | queue, opt=argparse.Namespace(arch='resnet18'), epoch=1), tmp_path / 'soco.pth'
    )
    convert(tmp_path / 'soco.pth', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    image = torch.randn(2, 3, 64, 64)
    for net, prefix in ((student, 'backbone.'), (teacher, 'teacher.backbone.')):
        own = ResNet(depth=18)
        own.eval()
        own.load_state_dict({key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)})
        features = torch.nn.Sequential(*list(net.children())[:-2])
        assert torch.equal(own(image)[-1], features(image))
    convert(tmp_path / 'soco.pth', tmp_path / 'teacher.pth', '--to', 'torchvision', '--role', 'teacher')
    convert(tmp_path / 'teacher.pth', tmp_path / 'plain.pth', '--to', 'torchvision')
    plain = torch.load(tmp_path / 'plain.pth', weights_only=True)
    assert net.load_state_dict(plain, strict=False).missing_keys == ['fc.weight', 'fc.bias']
    assert all(torch.equal(value, others[f'module.encoder_k.{key}']) for key, value in plain.items())


RESIM = {
    'mlp.': 'fc.',
    'laterals.0.': 'fpn_lateral3.',
    'laterals.1.': 'fpn_lateral4.',
    'laterals.2.': 'fpn_lateral5.',
    'outputs.0.': 'fpn_output3.',
    'outputs.1.': 'fpn_output4.',
}


def resim() -> torch.nn.Module:
    """A ReSim of this package with random values."""
    neck = dict(type='ReSimNeck', in_channels=[128, 256, 512], hid_channels=6, out_channels=5, channels=4)
    model = ReSim(
        backbone=dict(BACKBONE, out_indices=(1, 2, 3)),
        neck=neck,
        queue_length=8,
        channels=5,
        windows=((48, 32), (32, 24)),
    )
    for value in model.state_dict().values():
        value.random_(1, 9) if value.dtype == torch.long else value.normal_()
    return model


def published_resim(model: torch.nn.Module) -> dict:
    """The same weights in the format of the authors' file."""
    found = {}
    for name, network in (('encoder_q', model), ('encoder_k', model.teacher)):
        found |= {f'module.{name}.{key}': value for key, value in network.backbone.state_dict().items()}
        for key, value in network.neck.state_dict().items():
            ours = next(start for start in RESIM if key.startswith(start))
            found[f'module.{name}.{RESIM[ours]}{key.removeprefix(ours)}'] = value
    queue = {'module.queue': torch.zeros(5, 8), 'module.queue_ptr': torch.zeros(1)}
    return dict(epoch=200, arch='resnet50', state_dict=found | queue, optimizer={})


def test_a_published_resim_is_read_completely_except_for_its_queue(convert, tmp_path):
    model, other = resim(), resim()
    torch.save(published_resim(model), tmp_path / 'resim.pth.tar')
    convert(tmp_path / 'resim.pth.tar', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    assert other.load_state_dict(found, strict=False).missing_keys == ['queue.keys', 'queue.pointer']
    for key, value in model.state_dict().items():
        assert key.startswith('queue') or torch.equal(value, other.state_dict()[key]), key
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'run.pth')
    # The authors' file and that of an own run transfer the same weights.
    for file in ('resim.pth.tar', 'run.pth'):
        for role, network in (('auto', model), ('student', model), ('teacher', model.teacher)):
            weights = read_pretrained(str(tmp_path / file), role=role)
            assert weights.state.keys() == network.backbone.state_dict().keys()
            assert torch.equal(weights.state['layer3.1.conv2.weight'], network.backbone.layer3[1].conv2.weight)


def test_a_backbone_that_the_converter_of_resim_wrote_is_read(convert, tmp_path):
    """The file has detectron2's names, the head below `stem`, and arrays as values, and is written by `torch.save`."""
    model = resim()
    theirs = {}
    for key, value in published_resim(model)['state_dict'].items():
        if key.startswith('module.encoder_q.'):
            key = key.removeprefix('module.encoder_q.')
            key = key if 'layer' in key else f'stem.{key}'
            for stage in range(1, 5):
                key = key.replace(f'layer{stage}', f'res{stage + 1}')
            key = re.sub(r'bn(\d)', r'conv\1.norm', key)
            key = key.replace('downsample.0', 'shortcut').replace('downsample.1', 'shortcut.norm')
            theirs[key.replace('stem.fpn', 'backbone.fpn')] = value.numpy()
    torch.save(dict(model=theirs, __author__='MOCO', matching_heuristics=True), tmp_path / 'backbone.pth.tar')
    convert(tmp_path / 'backbone.pth.tar', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    assert found.keys() == {f'backbone.{key}' for key in model.backbone.state_dict()}
    assert all(torch.equal(found[f'backbone.{key}'], value) for key, value in model.backbone.state_dict().items())


def test_a_file_of_torchvision_from_before_the_counters_is_whole(convert, tmp_path):
    net, _ = official(0, '')
    old = {key: value for key, value in net.state_dict().items() if not key.endswith('num_batches_tracked')}
    torch.save(old, tmp_path / 'old.pth')
    convert(tmp_path / 'old.pth', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    load_weights(method(False), found, 'ours.pth')
    assert not found['backbone.bn1.num_batches_tracked']


def as_moco_converts(state: dict) -> dict:
    """What detectron2 reads, by the rules of MoCo's `convert-pretrain-to-detectron2.py` in their order."""
    model = {}
    for name, value in state.items():
        name = name if 'layer' in name else f'stem.{name}'
        rules = [(f'layer{stage}', f'res{stage + 1}') for stage in (1, 2, 3, 4)]
        rules += [(f'bn{index}', f'conv{index}.norm') for index in (1, 2, 3)]
        for old, new in (*rules, ('downsample.0', 'shortcut'), ('downsample.1', 'shortcut.norm')):
            name = name.replace(old, new)
        model[name] = value.numpy()
    return dict(model=model, __author__='MOCO', matching_heuristics=True)


def bottlenecks() -> dict:
    """State of a ResNet-50 of torchvision with random values, without classifier."""
    with torch.device('meta'):
        state = torchvision.models.resnet50().state_dict()
    return {key: torch.rand(value.shape).to(value.dtype) for key, value in state.items() if not key.startswith('fc.')}


def test_detectron2_gets_the_names_of_mocos_script_and_gives_the_same_values_back(convert, tmp_path, capsys):
    state = bottlenecks()
    torch.save(state, tmp_path / 'plain.pth')
    convert(tmp_path / 'plain.pth', tmp_path / 'r50.pkl', '--to', 'detectron2')
    printed = capsys.readouterr().out
    assert 'STRIDE_IN_1X1 False' in printed and 'res5.0.shortcut.norm.weight' in printed
    data = (tmp_path / 'r50.pkl').read_bytes()
    content, expected = pickle.loads(data), as_moco_converts(state)
    assert {key: value for key, value in content.items() if key != 'model'} == dict(
        __author__='mmdecouple', matching_heuristics=True
    )
    assert content['model'].keys() == expected['model'].keys()
    assert all(
        content['model'][key].tobytes() == value.tobytes() and content['model'][key].shape == value.shape
        for key, value in expected['model'].items()
    )
    assert b'numpy._core' not in data and b'numpy.core.multiarray' in data
    convert(tmp_path / 'r50.pkl', tmp_path / 'again.pth', '--to', 'torchvision')
    again = torch.load(tmp_path / 'again.pth', weights_only=True)
    assert again.keys() == state.keys() and all(torch.equal(again[key], state[key]) for key in state)


@pytest.mark.parametrize('place, protocol', [('plain', 5), ('c4', 2), ('fpn', 4)])
def test_networks_of_detectron2_give_torchvisions_features(place, protocol, convert, tmp_path):
    net, _ = official(0, '')
    content = as_moco_converts(net.state_dict())
    if place != 'plain':
        # A trained detector: frozen norms have no counters, conv5 of C4 stands in the heads, and there is more.
        lead = {
            'c4': lambda name: 'roi_heads.' if name.startswith('res5') else 'backbone.',
            'fpn': lambda name: 'backbone.bottom_up.',
        }[place]
        content = dict(
            model={
                lead(name) + name: value
                for name, value in content['model'].items()
                if not name.endswith('num_batches_tracked') and 'fc' not in name
            },
            iteration=5,
        )
        content['model'] |= {'roi_heads.res5.norm.weight': np.ones(3), 'backbone.fpn_lateral2.weight': np.ones(2)}
    with open(tmp_path / 'in.pkl', 'wb') as file:
        pickle.dump(content, file, protocol=protocol)
    convert(tmp_path / 'in.pkl', tmp_path / 'ours.pth', '--to', 'mmdecouple', '--from', 'detectron2')
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    own = ResNet(depth=18)
    own.eval()
    own.load_state_dict({key.removeprefix('backbone.'): value for key, value in found.items()})
    image = torch.randn(1, 3, 64, 64)
    features = torch.nn.Sequential(*list(net.children())[:-2])
    assert torch.equal(own(image)[-1], features(image))
    weights = read_pretrained(str(tmp_path / 'in.pkl'))
    assert (weights.architecture, weights.format) == ('ResNet-18', 'detectron2')
    assert all(torch.equal(weights.state[key], net.state_dict()[key]) for key in weights.state)
    assert ('roi_heads.' in weights.names['layer4.0.conv1.weight']) == (place == 'c4')


@pytest.mark.parametrize(
    'format, student, teacher',
    [
        ('moco', 'encoder_q.', 'encoder_k.'),
        ('plrc', 'encoder_q.enc.', 'encoder_k.enc.'),
        ('cp2', 'encoder_q.backbone.', 'encoder_k.backbone.'),
    ],
)
def test_student_and_teacher_of_other_projects_are_told_apart(format, student, teacher, convert, tmp_path, capsys):
    (net, states), (other, others) = official(0, student[:-1]), official(1, teacher[:-1])
    heads = {f'module.{student}fc.0.weight': torch.ones(2), 'module.queue': torch.ones(3, 4)}
    torch.save(dict(epoch=200, arch='resnet18', state_dict=states | others | heads), tmp_path / 'in.pth.tar')
    convert(tmp_path / 'in.pth.tar', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    assert f'({format})' in capsys.readouterr().out
    found = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    for role, prefix, network in (('student', 'backbone.', net), ('teacher', 'teacher.backbone.', other)):
        own = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
        read = read_pretrained(str(tmp_path / 'in.pth.tar'), role).state
        expected = {key: value for key, value in network.state_dict().items() if not key.startswith('fc.')}
        assert own.keys() == read.keys() == expected.keys()
        assert all(torch.equal(own[key], value) and torch.equal(read[key], value) for key, value in expected.items())
    assert not any('fc' in key or 'queue' in key for key in found)


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    'write, line',
    [
        (
            lambda path: pickle.dumps(dict(model={'x': Trap(path)})),
            r'holds more than arrays \(posix.mkdir\).*--allow-pickle',
        ),
        (
            lambda path: pickle.dumps(as_moco_converts(official(0, '')[0].state_dict()))[:-2000],
            'is truncated or not a pickle',
        ),
        (lambda path: pickle.dumps([np.ones(3)]), 'holds a list, not a dict of weights'),
        (
            lambda path: pickle.dumps({'conv1_w': np.ones(3), 'res2_0_branch2a_w': np.ones(3)}),
            "have Caffe2's names.*R-50.pkl",
        ),
        (lambda path: pickle.dumps(dict(blobs={'res2_0_branch2a_w': np.ones(3)})), 'holds neither a ViT nor a ResNet'),
    ],
)
def test_a_pickle_that_is_no_network_ends_in_one_line_and_runs_nothing(write, line, convert, tmp_path, capsys):
    (tmp_path / 'in.pkl').write_bytes(write(str(tmp_path / 'ran')))
    with pytest.raises(SystemExit):
        convert(tmp_path / 'in.pkl', tmp_path / 'out.pth', '--to', 'torchvision')
    error = capsys.readouterr().err.strip()
    assert re.search(line, error) and len(error.splitlines()) == 1
    assert not (tmp_path / 'ran').exists() and not list(tmp_path.glob('out*'))


def change(key: str, value: torch.Tensor | None) -> dict:
    """A SoCo checkpoint with another value, or none, of a tensor."""
    states = official(0, 'encoder')[1] | {f'module.encoder.{key}': value}
    return dict(model={name: value for name, value in states.items() if value is not None})


@pytest.mark.parametrize(
    'content, to, line',
    [
        (
            lambda: change('layer4.1.bn2.weight', None),
            'mmdecouple',
            'ResNet-18 under backbone.* lacks layer4.1.bn2.weight',
        ),
        (
            lambda: change('layer4.2.conv1.weight', torch.ones(1)),
            'mmdecouple',
            'has the unknown tensors layer4.2.conv1.weight',
        ),
        (lambda: change('layer1.0.conv1.weight', torch.ones(64, 64, 1, 1)), 'mmdecouple', 'shape of layer1.0.conv1'),
        (
            lambda: change('layer3.5.conv1.weight', torch.ones(1)),
            'mmdecouple',
            'ResNet-34 under backbone.* lacks layer1.2',
        ),
        (
            lambda: official(0, 'encoder')[1],
            'soco',
            'holds both networks of SoCo, but the checkpoint lacks predictor.fc0.',
        ),
        (lambda: dict(model={'blocks.0.norm1.weight': torch.ones(3)}), 'torchvision', 'holds a ViT, which format'),
    ],
)
def test_a_file_that_is_not_whole_ends_in_one_line_and_leaves_nothing(content, to, line, convert, tmp_path, capsys):
    torch.save(content(), tmp_path / 'in.pth')
    with pytest.raises(SystemExit) as end:
        convert(tmp_path / 'in.pth', tmp_path / 'out.pth', '--to', to)
    error = capsys.readouterr().err.strip()
    assert end.value.code == 1 and line in error and len(error.splitlines()) == 1
    assert not list(tmp_path.glob('out*'))
