"""Which of two networks is taken is said by the names in use, or nothing is taken."""

import pytest
import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer

from mmdecouple.networks.network import open_network
from mmdecouple.weights import pretrained
from mmdecouple.weights.formats import resnet, vit
from mmdecouple.weights.pretrained import read_pretrained

# What each project writes: the key of the file that holds both (None: each has a key of its own), the names of student
# and teacher there, and whose backbone the authors transfer.
SAVED = {
    'DINO, iBOT': (None, 'student', 'teacher', 'module.backbone.', 'teacher'),
    'DINOv2, DINOv3': ('model', 'student.backbone.', 'teacher.backbone.', '', 'teacher'),
    'Lightly, DINO': ('state_dict', 'student_backbone.', 'teacher_backbone.', '', 'teacher'),
    'Lightly, MoCo': ('state_dict', 'backbone.', 'backbone_momentum.', '', 'student'),
    'solo-learn': ('state_dict', 'backbone.', 'momentum_backbone.', '', 'student'),
    'MoCo v1, v2': ('state_dict', 'module.encoder_q.', 'module.encoder_k.', '', 'student'),
    'OpenSelfSup': ('state_dict', 'encoder_q.0.', 'encoder_k.0.', '', 'student'),
    'MoCo v3': ('state_dict', 'module.base_encoder.', 'module.momentum_encoder.', '', 'student'),
    'SoCo': ('model', 'module.encoder.', 'module.encoder_k.', '', 'student'),
    'PixPro': ('model', 'module.encoder.', 'module.encoder_k.', '', 'student'),
    'BYOL': (None, 'online_network_state_dict', 'target_network_state_dict', 'encoder.', 'student'),
    'BYOL, Lightning': ('state_dict', 'model.online_encoder.net.', 'model.target_encoder.net.', '', 'student'),
    'mmselfsup': ('state_dict', 'online_net.0.', 'target_net.module.0.', '', 'student'),
    'mmpretrain, MoCo v3': ('state_dict', 'backbone.', 'momentum_encoder.module.0.', '', 'student'),
    'Leopart': ('state_dict', 'model.', 'teacher.', '', 'student'),
    'I-JEPA': (None, 'encoder', 'target_encoder', 'module.', 'teacher'),
    'timm': (None, 'state_dict', 'state_dict_ema', '', 'teacher'),
    'ours': ('state_dict', 'backbone.', 'teacher.backbone.', '', 'student'),
    'compiled': ('state_dict', 'student._orig_mod.', 'teacher._orig_mod.module.', '', 'teacher'),
}


def network(kind: str, value: float) -> dict:
    with torch.device('meta'):
        model = (
            torchvision.models.resnet18()
            if kind == 'resnet'
            else VisionTransformer(img_size=32, patch_size=16, embed_dim=192, depth=2, num_heads=3, num_classes=0)
        )
    state = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith('fc.')}
    return {key: torch.full(tensor.shape, value).to(tensor.dtype) for key, tensor in state.items()}


def saved(project: str, kind: str, student: dict, teacher: dict) -> dict:
    key, *names, inner, _ = SAVED[project]
    parts = [{inner + name: value for name, value in state.items()} for state in (student, teacher)]
    if key is None:
        return {**dict(zip(names, parts)), 'epoch': 3}
    return {key: {f'{lead}{name}': value for lead, state in zip(names, parts) for name, value in state.items()}}


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
@pytest.mark.parametrize('project', SAVED)
def test_student_and_teacher_of_every_project_are_told_apart_whatever_their_order(project, kind, monkeypatch):
    transferred = SAVED[project][-1]
    content = saved(project, kind, network(kind, 1.0), network(kind, 2.0))
    backwards = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(content.items())
    }
    for one in (content, backwards):
        monkeypatch.setattr(pretrained, 'read_weights', lambda *_, one=one: one)
        for role, expected in (('student', 1), ('teacher', 2), ('auto', 1 if transferred == 'student' else 2)):
            found = read_pretrained('a.pth', role)
            assert found.role == (transferred if role == 'auto' else role)
            assert all((value == expected).all() for value in found.state.values())
        if kind == 'resnet':
            state = resnet.to_ours(one).state
            assert (state['backbone.conv1.weight'] == 1).all() and (state['teacher.backbone.conv1.weight'] == 2).all()
            continue
        assert vit.roles_of(one) == ('teacher', 'student')
        for role, expected in (('student', 1), ('teacher', 2), (None, 2)):
            assert (vit.to_ours(one, role).backbone['cls_token'] == expected).all()


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
@pytest.mark.parametrize(
    'names', [('first.', 'second.'), ('', 'ema.'), ('student.', 'other.'), ('student.', 'teacher.', 'third.')]
)
def test_names_that_nobody_is_known_to_give_are_refused_with_what_was_found(names, kind, tmp_path):
    path = str(tmp_path / 'a.pth')
    states = {f'{name}{key}': value for name in names for key, value in network(kind, 1.0).items()}
    torch.save(dict(state_dict=states), path)
    word = path if kind == 'vit' else f'timm:resnet18={path}'
    for read in (lambda: read_pretrained(path), lambda: read_pretrained(path, 'teacher'), lambda: open_network(word)):
        with pytest.raises(ValueError, match=f'holds {len(names)} networks, .*names do not identify') as error:
            read()
        assert all(f'{name}*' in str(error.value) for name in names)


@pytest.mark.parametrize('count', [3, 4, 5, 7])
def test_of_many_networks_four_are_named(count):
    names = [f'net{index}.' for index in range(count)]
    content = {f'{name}{key}': value for name in names for key, value in network('vit', 1.0).items()}
    with pytest.raises(ValueError, match='names do not identify') as error:
        vit.to_ours(content)
    listed = ', '.join(f'{name}*' for name in names[:4]) + (', ...' if count > 4 else '')
    assert f'The checkpoint holds {count} networks, {listed}, and their names do not identify' in str(error.value)


def test_a_role_that_is_not_there_is_refused_with_the_reason(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict={f'student_backbone.{key}': value for key, value in network('vit', 1.0).items()}), path)
    for read in (lambda: read_pretrained(path, 'teacher'), lambda: open_network(path, measured='teacher')):
        with pytest.raises(ValueError, match=r'holds no teacher, only a student \(student_backbone\.\*\)'):
            read()
    assert read_pretrained(path).role == 'student'


def test_frozen_teachers_beside_a_student_are_no_product(tmp_path):
    state, frozen = network('vit', 1.0), network('vit', 2.0)
    content = dict(model={**{f'dino_model.{key}': value for key, value in frozen.items()}, **state})
    assert (vit.to_ours(content).backbone['cls_token'] == 1).all()


def test_names_of_torch_compile_and_of_chunks_open_as_the_plain_ones(tmp_path):
    state = timm.create_model('vit_tiny_patch16_224', num_classes=0).state_dict()
    torch.save(state, tmp_path / 'plain.pth')
    torch.save({f'_orig_mod.{key}': value for key, value in state.items()}, tmp_path / 'compiled.pth')
    torch.save(
        {
            key.replace('blocks.', f'blocks.{int(([*key.split("."), "0"])[1]) // 4}.')
            if key.startswith('blocks.')
            else key: value
            for key, value in state.items()
        },
        tmp_path / 'chunks.pth',
    )
    images = torch.randn(1, 3, 32, 32)
    for word in ('{}', 'timm:vit_tiny_patch16_224={}'):
        models = [open_network(word.format(tmp_path / f'{name}.pth')).model for name in ('plain', 'compiled', 'chunks')]
        expected, *found = [model.dense_features(images.to(model.data_preprocessor.device)) for model in models]
        assert all(torch.equal(features, expected) for features in found)


def test_two_tensors_of_one_name_are_refused():
    state = network('vit', 1.0)
    with pytest.raises(ValueError, match="'norm.weight' and 'module.norm.weight', which are equal without"):
        vit.to_ours({**state, 'module.norm.weight': state['norm.weight']})


@pytest.mark.parametrize('shape', [(1, 1, 5, 192), (1, 7, 192), (5,), (), (2, 5, 192), (1, 1, 192)])
def test_positions_on_no_square_grid_are_refused_in_one_line(shape):
    with pytest.raises(ValueError, match='pos_embed has the shape .*patches of a square') as error:
        vit.to_ours({**network('vit', 1.0), 'pos_embed': torch.ones(shape)})
    assert '\n' not in str(error.value)
