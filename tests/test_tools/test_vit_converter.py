"""The converter of ViT checkpoints, as a user calls it."""

import importlib.util

import pytest
import torch
from safetensors import safe_open

from mmdecouple.engine import load_weights
from mmdecouple.models import EMATeacher
from mmdecouple.models.backbones import DenseViT
from mmdecouple.models.layers import Center
from mmdecouple.models.necks import DINOHead

from .conftest import CHECKOUT_TOOLS

C, K = 48, 11


@pytest.fixture(scope='module')
def run():
    """The tool's main function, called with the words of a command line."""
    spec = importlib.util.spec_from_file_location('vit_tool', CHECKOUT_TOOLS / 'model_converters' / 'vit.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return lambda *words: tool.main([str(word) for word in words])


def method() -> torch.nn.Module:
    """What an iBOT algorithm of ours keeps: student, teacher, centers."""
    model = torch.nn.Module()
    model.backbone = DenseViT(
        arch=dict(embed_dims=C, num_layers=2, num_heads=3, feedforward_channels=96),
        img_size=16,
        patch_size=8,
        mask_token=True,
    )
    model.neck = DINOHead(C, K, hidden_channels=16, bottleneck_channels=8)
    model.teacher = EMATeacher(dict(backbone=model.backbone, neck=model.neck))
    model.class_center, model.patch_center = Center(K), Center(K)
    for tensor in model.state_dict().values():
        tensor.normal_()
    model.teacher.backbone.mask_token.data.copy_(model.backbone.mask_token)
    return model


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_3.pth'
    torch.save(dict(meta=dict(epoch=3), state_dict=method().state_dict(), optimizer={}), path)
    return path


def test_a_run_goes_to_ibot_and_back_and_loads_whole(run, checkpoint, tmp_path, capsys):
    run(checkpoint, tmp_path / 'ibot.pth', '--to', 'ibot')
    printed = capsys.readouterr().out
    assert 'teacher.backbone.layers.1.ffn.layers.1.weight' in printed and 'backbone.blocks.1.mlp.fc2.weight' in printed
    assert 'num_layers 2' in printed and 'Left out: meta (1), optimizer (1), teacher (1)' in printed
    run(tmp_path / 'ibot.pth', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / 'ours.pth'))
    load_weights(method(), after, 'ours.pth', strict=True)
    assert all(torch.equal(value, after['state_dict'][key]) for key, value in before['state_dict'].items())
    assert after['meta']['converted_from'] == dict(file='ibot.pth', format='ibot', networks=2)


@pytest.mark.parametrize(('role', 'prefix'), [(None, 'teacher.backbone.'), ('student', 'backbone.')])
def test_one_backbone_is_the_teachers_unless_the_student_is_asked_for(role, prefix, run, checkpoint, tmp_path):
    out = tmp_path / 'vit.safetensors'
    run(checkpoint, out, '--to', 'timm', *(['--role', role] if role else []))
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    with safe_open(out, 'pt') as found:
        assert found.metadata() == {'format': 'pt'}
        assert torch.equal(found.get_tensor('blocks.1.norm2.weight'), weights[f'{prefix}layers.1.ln2.weight'])
        count = len([key for key in weights if key.startswith(prefix)])
        assert len(found.keys()) == count - 1, 'all but the mask token, which timm does not have'


@pytest.mark.parametrize('to', ['ibot', 'mmdecouple'])
def test_a_single_backbone_has_no_teacher_to_write(to, run, checkpoint, tmp_path):
    run(checkpoint, tmp_path / 'dino.pth', '--to', 'dino')
    run(tmp_path / 'dino.pth', tmp_path / 'out.pth', '--to', to)
    state = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert {key.partition('.')[0] for key in state} == (
        {'backbone'} if to == 'mmdecouple' else {'cls_token', 'pos_embed', 'patch_embed', 'blocks', 'norm'}
    )


def test_nothing_is_overwritten_unless_asked(run, checkpoint, tmp_path, capsys):
    before = checkpoint.read_bytes()
    with pytest.raises(SystemExit):
        run(checkpoint, checkpoint, '--to', 'dino')
    assert 'exists; name another file, or replace it with --force.' in capsys.readouterr().err
    assert checkpoint.read_bytes() == before
    run(checkpoint, checkpoint, '--to', 'dino', '--force')
    assert 'cls_token' in torch.load(checkpoint, weights_only=True)


def test_a_wrong_file_ends_in_one_line_and_leaves_nothing(run, tmp_path, capsys):
    torch.save({'blocks.0.norm1.weight': torch.ones(3), 'blocks.1.norm1.weight': torch.ones(3)}, tmp_path / 'some.pth')
    (tmp_path / 'torn.pth').write_bytes((tmp_path / 'some.pth').read_bytes()[:300])
    (tmp_path / 'torn.safetensors').write_bytes(b'x' * 20)
    for name, line in (
        ('some.pth', 'lacks cls_token, pos_embed'),
        ('none.pth', "none.pth' does not exist"),
        ('torn.pth', 'truncated or not a checkpoint'),
        ('torn.safetensors', 'truncated or not a safetensors file'),
    ):
        with pytest.raises(SystemExit) as end:
            run(tmp_path / name, tmp_path / 'out.pth', '--to', 'timm')
        error = capsys.readouterr().err.strip()
        assert end.value.code == 1 and line in error and len(error.splitlines()) == 1
    assert not (tmp_path / 'out.pth').exists()
