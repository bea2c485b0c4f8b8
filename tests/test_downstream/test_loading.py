"""What is in a detector after initialization is what was in the checkpoint, or nothing starts."""

import logging
import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.model import revert_sync_batchnorm

from mmdecouple.downstream import LoadCheckHook, PretrainedBackbone
from mmdecouple.models import DenseViT
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.vit import from_ours
from mmdecouple.weights.pretrained import read_pretrained
from tests.test_downstream.models import VIT, build, c4, fpn, segmentor, vit


def resnet(depth, seed):
    torch.manual_seed(seed)
    state = getattr(torchvision.models, f'resnet{depth}')().state_dict()
    # A fresh network has the same norms in every seed.
    return {
        key: torch.randn_like(value) if value.is_floating_point() and value.ndim == 1 else value
        for key, value in state.items()
        if not key.startswith('fc.')
    }


def vit_state(seed):
    torch.manual_seed(seed)
    return {
        key: torch.randn_like(value)
        for key, value in DenseViT(arch=VIT, img_size=32, patch_size=8, mask_token=True).state_dict().items()
    }


def prefixed(**networks):
    return {
        f'{prefix.replace("_", ".")}{key}': value for prefix, state in networks.items() for key, value in state.items()
    }


def dino(states):
    """A whole file of DINO with a batch norm in its head."""
    head = {
        'head.mlp.0.weight': torch.zeros(2, 2),
        'head.mlp.1.weight': torch.zeros(2),
        'head.mlp.1.running_mean': torch.zeros(2),
    }
    networks = {role: prefixed(backbone_=states[seed]) | head for role, seed in (('student', 1), ('teacher', 2))}
    return dict(
        epoch=1,
        **{role: {f'module.{key}': value for key, value in network.items()} for role, network in networks.items()},
    )


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Checkpoints by name, each with a student of seed 1 and, if it has one, a teacher of seed 2."""
    folder = tmp_path_factory.mktemp('checkpoints')
    r50, r18 = ({seed: resnet(depth, seed) for seed in (1, 2)} for depth in (50, 18))
    vits = {seed: vit_state(seed) for seed in (1, 2)}
    both = prefixed(backbone_=vits[1], teacher_backbone_=vits[2])
    center = {'class_center.value': torch.zeros(1, 4)}
    contents = dict(
        densecl=dict(
            meta=dict(epoch=1),
            state_dict={**prefixed(backbone_=r50[1], teacher_backbone_=r50[2]), 'neck.mlp.0.weight': torch.zeros(2)},
        ),
        small=dict(state_dict=prefixed(backbone_=r18[1], teacher_backbone_=r18[2])),
        moco=dict(
            state_dict={
                f'module.encoder_{key}': value
                for key, value in {
                    **{f'q.{key}': value for key, value in r18[1].items()},
                    'q.fc.0.weight': torch.zeros(2),
                    **{f'k.{key}': value for key, value in r18[2].items()},
                }.items()
            }
        ),
        torchvision=r18[1],
        ibot=dict(state_dict={**both, **center}),
        leopart=dict(state_dict=both),
        maskalign=dict(state_dict=prefixed(backbone_=vits[1])),
        # A head with batch norms, as DINO has for some of its networks.
        dino=dino({seed: r18[seed] for seed in (1, 2)}),
        normed=dino({seed: from_ours(vits[seed], 'dino') for seed in (1, 2)}),
    )
    for name, content in contents.items():
        torch.save(content, folder / f'{name}.pth')
    return folder, dict(r50=r50, r18=r18, vit=vits)


@pytest.mark.parametrize('cfg, conv5', [(c4(), 'roi_head.shared_head.'), (fpn(), 'backbone.')])
def test_every_tensor_of_a_resnet_50_is_the_checkpoints(files, cfg, conv5):
    folder, states = files
    model = build(cfg, str(folder / 'densecl.pth')).state_dict()
    for key, value in states['r50'][1].items():
        assert torch.equal(model[(conv5 if key.startswith('layer4') else 'backbone.') + key], value), key
    own = {key for key in model if key.startswith(('backbone.', 'roi_head.shared_head.layer'))}
    assert len(own) == len(states['r50'][1])


@pytest.mark.parametrize('tap_norm', ['none', 'shared'])
def test_every_tensor_of_a_vit_is_the_checkpoints_and_positions_are_resized(files, tap_norm):
    folder, states = files
    model = build(vit(tap_norm=tap_norm), str(folder / 'ibot.pth')).backbone.state_dict()
    expected = {
        key: value
        for key, value in states['vit'][2].items()
        if key != 'mask_token' and (tap_norm == 'shared' or not key.startswith('ln1'))
    }
    patches = expected['pos_embed'][:, 1:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, (4, 8), mode='bicubic').permute(0, 2, 3, 1).reshape(1, 32, 32)
    expected['pos_embed'] = torch.cat([expected['pos_embed'][:, :1], patches], dim=1)
    assert set(model) == set(expected)
    for key, value in expected.items():
        assert torch.equal(model[key], value), key


@pytest.mark.parametrize(
    'name, role, kind, seed',
    [
        ('densecl', 'auto', 'r50', 1),
        ('moco', 'auto', 'r18', 1),
        ('moco', 'teacher', 'r18', 2),
        ('torchvision', 'auto', 'r18', 1),
        ('ibot', 'auto', 'vit', 2),
        ('ibot', 'student', 'vit', 1),
        ('dino', 'auto', 'r18', 2),
        ('dino', 'student', 'r18', 1),
        ('normed', 'auto', 'vit', 2),
        ('leopart', 'auto', 'vit', 1),
        ('maskalign', 'auto', 'vit', 1),
    ],
)
def test_the_network_is_the_one_that_the_method_transfers(files, name, role, kind, seed):
    folder, states = files
    found, expected = read_pretrained(str(folder / f'{name}.pth'), role).state, states[kind][seed]
    if name == 'normed':
        # DINO has no mask token.
        expected = {key: value for key, value in expected.items() if key != 'mask_token'}
    assert set(found) == set(expected) and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    'name, cfg, options, words',
    [
        (
            'maskalign',
            c4(18),
            {},
            'holds a ViT of 4 blocks, width 32, patch 8, but this C4 task is built on a ResNet-18',
        ),
        ('densecl', fpn(18), {}, 'holds a ResNet-50, but this model is built on a ResNet-18; choose'),
        ('small', vit(), {}, 'holds a ResNet-18, but this model is built on a ViT of 4 blocks'),
        ('small', c4(18, 'caffe'), {}, "set the config key model.backbone.style to 'pytorch', got 'caffe'"),
        (
            'small',
            segmentor(stem=True),
            {},
            'does not fit the ResNet-18 of the model: .* missing .backbone.stem.0.weight',
        ),
        ('maskalign', vit(), dict(role='teacher'), 'holds a single network and no teacher'),
        ('torchvision', c4(18), dict(role='teacher'), 'holds no teacher with a ResNet'),
        ('small', c4(18), dict(role='both'), "role must be one of auto, student, teacher, got 'both'"),
        ('nothing', c4(18), {}, "weight file '.*nothing.pth' does not exist"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(files, name, cfg, options, words):
    model = build(cfg)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        PretrainedBackbone(str(files[0] / f'{name}.pth'), **options)(model)
    assert '\n' not in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_no_checkpoint_at_all_is_named():
    with pytest.raises(ValueError, match='no pre-trained checkpoint is given; set the config key model.init_cfg'):
        build(c4(18)).init_weights()


@pytest.mark.parametrize(
    'key, change, words',
    [
        ('backbone.layer4.0.bn1.bias', None, '1 missing .roi_head.shared_head.layer4.0.bn1.bias'),
        ('backbone.layer1.0.conv1.weight', torch.zeros(2), '1 another shape .backbone.layer1.0.conv1.weight'),
    ],
)
def test_one_missing_or_reshaped_tensor_is_enough(files, tmp_path, key, change, words):
    content = torch.load(files[0] / 'small.pth')
    content['state_dict'].pop(key)
    if change is not None:
        content['state_dict'][key] = change
    torch.save(content, tmp_path / 'cut.pth')
    with pytest.raises(ValueError, match=words):
        build(c4(18), str(tmp_path / 'cut.pth'))


class FakeRunner:
    """What the hook reads of a runner."""

    def __init__(self, model, work_dir, iteration=0):
        self.model, self.work_dir, self.iter = model, str(work_dir), iteration
        self.logger = logging.getLogger('fake')
        # A loader that is built from a batch sampler, as a detector's, knows no size itself.
        self.train_dataloader = SimpleNamespace(batch_size=None, batch_sampler=SimpleNamespace(batch_size=3))
        self.auto_scale_lr, self.world_size, self.optim_wrapper = None, 2, None


@pytest.mark.parametrize('name, cfg', [('small', c4(18)), ('small', fpn(18)), ('small', segmentor()), ('ibot', vit())])
def test_the_hook_lets_a_filled_model_pass_and_writes_the_table(files, tmp_path, caplog, name, cfg):
    with caplog.at_level(logging.INFO):
        LoadCheckHook().before_train(FakeRunner(build(cfg, str(files[0] / f'{name}.pth')), tmp_path))
    table = (tmp_path / 'match_table.txt').read_text()
    rows = [line for line in table.splitlines() if ' loaded ' in line]
    assert len(rows) == (120 if name == 'small' else 51)
    assert 'loaded' in caplog.text and len(caplog.text) < len(table) / 2
    assert ('resized' in table) == (name == 'ibot') and ('roi_head.shared_head.norm.weight' in table) == (cfg == c4(18))


def test_norms_that_are_no_longer_synchronized_are_told_once(files, tmp_path, caplog):
    cfg = c4(18)
    head = {**cfg['roi_head']['shared_head'], 'norm_cfg': dict(type='SyncBN')}
    model = build({**cfg, 'roi_head': {**cfg['roi_head'], 'shared_head': head}}, str(files[0] / 'small.pth'))
    for expected in (
        [],
        ['6 synchronized batch norms are plain ones on a single device: each normalizes the 3 images'],
    ):
        caplog.clear()
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(told) == len(expected) and all(words in text for text, words in zip(told, expected))
        model = revert_sync_batchnorm(model)


@pytest.mark.parametrize('key', ['backbone.layer2.0.bn1.running_mean', 'roi_head.shared_head.layer4.1.conv2.weight'])
def test_the_hook_stops_a_run_whose_weights_were_overwritten(files, tmp_path, key):
    model = build(c4(18), str(files[0] / 'small.pth'))
    model.state_dict()[key].mul_(1.001)
    with pytest.raises(ValueError, match=f'1 differs .{key}.; only model.init_cfg may load weights'):
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))
    LoadCheckHook().before_train(FakeRunner(model, tmp_path, iteration=1))


def test_the_hook_stops_positions_that_are_not_on_the_models_grid(files, tmp_path):
    model = build(vit(img_size=(16, 64)), str(files[0] / 'ibot.pth'))
    # 2 x 8 tokens are as many as the checkpoint's 4 x 4, so an unresized embedding would fit.
    state = read_pretrained(str(files[0] / 'ibot.pth')).state
    assert model.backbone.pos_embed.shape == state['pos_embed'].shape
    model.backbone.pos_embed.data.copy_(state['pos_embed'])
    with pytest.raises(ValueError, match='1 differs .backbone.pos_embed'):
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))


@pytest.mark.parametrize(
    'change, words',
    [
        (
            dict(mean=[103.53, 116.28, 123.675]),
            r'with mean=\[123.675, 116.28, 103.53\], got \[103.53, 116.28, 123.675\]',
        ),
        (dict(std=[1.0, 1.0, 1.0]), r'with std=.*got \[1.0, 1.0, 1.0\]'),
        (dict(bgr_to_rgb=False), 'bgr_to_rgb to True'),
    ],
)
def test_the_hook_stops_images_that_are_normalized_otherwise(files, tmp_path, change, words):
    cfg = c4(18)
    model = build({**cfg, 'data_preprocessor': {**cfg['data_preprocessor'], **change}}, str(files[0] / 'small.pth'))
    with pytest.raises(ValueError, match=words):
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))


@pytest.mark.parametrize(
    'cfg, words',
    [
        (vit(patch_size=16), 'backbone has a patch of 16 pixels and its pyramid is for a patch of 8'),
        (vit(strides=(2, 4, 8, 16, 32)), r'anchor_generator.strides has strides \(2, 4, 8, 16, 32\), but the maps'),
    ],
)
def test_anchors_that_are_not_on_the_strides_of_the_pyramid_are_refused(files, cfg, words):
    with pytest.raises(UserError, match=words) as caught:
        build(cfg, str(files[0] / 'ibot.pth'))
    assert len(str(caught.value)) < 280


@pytest.mark.parametrize(
    'scale, wrapper, words',
    [
        (dict(base_batch_size=16), None, '3 images x 2 processes = 6, but the learning rate is for 16: .*by 0.375'),
        (
            dict(base_batch_size=16),
            SimpleNamespace(_accumulative_counts=2),
            '2 processes x 2 accumulated iterations = 12',
        ),
        (dict(base_batch_size=12), SimpleNamespace(_accumulative_counts=2), None),
        (dict(base_batch_size=16, enable=True), None, None),
        (dict(base_batch_size=6), None, None),
        ({}, None, None),
    ],
)
def test_a_batch_that_the_learning_rate_is_not_for_is_told(files, tmp_path, caplog, scale, wrapper, words):
    runner = FakeRunner(build(c4(18), str(files[0] / 'small.pth')), tmp_path)
    runner.auto_scale_lr, runner.optim_wrapper = scale, wrapper
    LoadCheckHook().before_train(runner)
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(told) == (words is not None) and (not told or re.search(words, told[0]))


def test_the_hook_stops_a_model_that_names_no_checkpoint(tmp_path):
    model = build(c4(18))
    model.init_cfg = dict(type='Pretrained', checkpoint='any.pth')
    with pytest.raises(ValueError, match='does not name the checkpoint from which it starts'):
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))
