"""The converter of ViT checkpoints, as a user calls it."""

import pytest
import torch

from mmdecouple.engine import load_weights
from mmdecouple.models import EMATeacher
from mmdecouple.models.backbones import DenseViT
from mmdecouple.models.layers import Center
from mmdecouple.models.necks import DINOHead

C, K = 48, 11


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


def test_a_run_goes_to_ibot_and_back_and_loads_whole(convert, checkpoint, tmp_path, capsys):
    convert(checkpoint, tmp_path / 'ibot.pth', '--to', 'ibot')
    printed = capsys.readouterr().out
    assert 'teacher.backbone.layers.1.ffn.layers.1.weight' in printed and 'backbone.blocks.1.mlp.fc2.weight' in printed
    assert 'ViT of 2 blocks' in printed and 'Left out: meta (1), optimizer (1), teacher (1)' in printed
    convert(tmp_path / 'ibot.pth', tmp_path / 'ours.pth', '--to', 'mmdecouple')
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / 'ours.pth'))
    load_weights(method(), after, 'ours.pth', strict=True)
    assert all(torch.equal(value, after['state_dict'][key]) for key, value in before['state_dict'].items())
    assert after['meta']['converted_from'] == dict(file='ibot.pth', format='ibot')


@pytest.mark.parametrize(('role', 'prefix'), [(None, 'teacher.backbone.'), ('student', 'backbone.')])
def test_one_backbone_is_the_teachers_unless_the_student_is_asked_for(role, prefix, convert, checkpoint, tmp_path):
    convert(checkpoint, tmp_path / 'dino.pth', '--to', 'dino', *(['--role', role] if role else []))
    weights, found = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / 'dino.pth'))
    weights = weights['state_dict']
    assert torch.equal(found['blocks.1.norm2.weight'], weights[f'{prefix}layers.1.ln2.weight'])
    count = len([key for key in weights if key.startswith(prefix)])
    assert len(found) == count - 1, 'all but the mask token, which DINO does not have'


@pytest.mark.parametrize('to', ['ibot', 'mmdecouple'])
def test_a_single_backbone_has_no_teacher_to_write(to, convert, checkpoint, tmp_path):
    convert(checkpoint, tmp_path / 'dino.pth', '--to', 'dino')
    convert(tmp_path / 'dino.pth', tmp_path / 'out.pth', '--to', to)
    state = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert {key.partition('.')[0] for key in state} == (
        {'backbone'} if to == 'mmdecouple' else {'cls_token', 'pos_embed', 'patch_embed', 'blocks', 'norm'}
    )


def test_nothing_is_overwritten_unless_asked(convert, checkpoint, tmp_path, capsys):
    convert(checkpoint, tmp_path / 'out.pth', '--to', 'dino')
    with pytest.raises(SystemExit):
        convert(checkpoint, tmp_path / 'out.pth', '--to', 'dino', '--role', 'student')
    assert 'backbone.pth exists; name another folder (--out), or replace it with --force.' in capsys.readouterr().err
    convert(checkpoint, tmp_path / 'student.pth', '--to', 'dino', '--role', 'student')
    convert(checkpoint, tmp_path / 'out.pth', '--to', 'dino', '--role', 'student', '--force')
    assert (tmp_path / 'out.pth').read_bytes() == (tmp_path / 'student.pth').read_bytes()


def test_a_wrong_file_ends_in_one_line_and_leaves_nothing(convert, tmp_path, capsys):
    torch.save({'blocks.0.norm1.weight': torch.ones(3), 'blocks.1.norm1.weight': torch.ones(3)}, tmp_path / 'some.pth')
    (tmp_path / 'torn.pth').write_bytes((tmp_path / 'some.pth').read_bytes()[:300])
    (tmp_path / 'torn.safetensors').write_bytes(b'x' * 20)
    for name, to, line in (
        ('some.pth', 'dino', 'lacks cls_token, pos_embed'),
        ('some.pth', 'timm', 'lacks cls_token, pos_embed'),
        ('some.pth', 'torchvision', 'holds a ViT, which format torchvision does not hold; choose one of'),
        ('none.pth', 'onnx', "none.pth' does not exist"),
        ('torn.pth', 'huggingface', 'truncated or not a checkpoint'),
        ('torn.safetensors', 'timm', 'truncated or not a safetensors file'),
    ):
        with pytest.raises(SystemExit) as end:
            convert(tmp_path / name, tmp_path / 'out.pth', '--to', to)
        error = capsys.readouterr().err.strip()
        assert end.value.code == 1 and line in error and len(error.splitlines()) == 1
    assert not list(tmp_path.glob('out*'))
