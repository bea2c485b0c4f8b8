"""ViT checkpoints of other projects compute the same features under our names, and go back unchanged."""

import argparse
import warnings
import zlib
from functools import partial

import pytest
import timm.models.vision_transformer as timm_vit
import torch
from mmpretrain.models.utils.clip_generator_helper import VisionTransformer as OpenAIViT
from safetensors.torch import save_file
from torch import nn

from mmdecouple.models.backbones import DenseViT
from mmdecouple.models.necks import DINOHead, PrototypeHead
from mmdecouple.weights.formats.vit import (
    from_ours,
    ibot_checkpoint,
    leopart_checkpoint,
    own_checkpoint,
    read_vit,
    roles_of,
    to_ours,
)
from mmdecouple.weights.formats.vit_arch import vit_grid, vit_settings
from mmdecouple.weights.formats.vit_facts import NOTHING

C, HEADS, LAYERS, HIDDEN, K = 48, 3, 2, 96, 11


def formula(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (0.5 * torch.sin(0.01 * index**2 + zlib.crc32(name.encode()) % 1000)).reshape(shape).float()


def features(backbone: dict, images: torch.Tensor, heads: int = HEADS, eps: float = 1e-6, quick: bool = False):
    """Tokens of a DenseViT that has nothing but what its tensors tell, the number of heads and these two choices."""
    settings = vit_settings(backbone)
    settings['arch']['num_heads'] = heads
    if quick:
        settings['layer_cfgs'] = dict(act_cfg=dict(type='mmpretrain.QuickGELU'))
    model = DenseViT(
        img_size=settings['patch_size'] * vit_grid(backbone, NOTHING)[0],
        norm_cfg=dict(type='LN', eps=eps),
        mask_token='mask_token' in backbone,
        **settings,
    )
    model.load_state_dict(backbone)
    model.eval()
    with torch.no_grad():
        return model(images)[0]


def own_backbone(grid: int = 4, patch: int = 8, pre_norm: bool = False, mask_token: bool = False) -> dict:
    model = DenseViT(
        arch=dict(embed_dims=C, num_layers=LAYERS, num_heads=HEADS, feedforward_channels=HIDDEN),
        img_size=grid * patch,
        patch_size=patch,
        pre_norm=pre_norm,
        mask_token=mask_token,
    )
    return {key: torch.randn_like(value) for key, value in model.state_dict().items()}


def authors_head() -> nn.Module:
    """The head as DINO's and iBOT's code build it, with torch's older weight norm; an independent copy of its names."""
    head = nn.Module()
    head.mlp = nn.Sequential(nn.Linear(C, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 8))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        head.last_layer = head.last_layer2 = nn.utils.weight_norm(nn.Linear(8, K, bias=False))
    nn.init.normal_(head.last_layer.weight_g)
    return head


def authors_network(mask_token: bool) -> dict:
    backbone = from_ours(own_backbone(mask_token=mask_token), 'ibot')
    head = authors_head().state_dict()
    return {
        **{f'backbone.{key}': value for key, value in backbone.items()},
        **{f'head.{key}': value.clone() for key, value in head.items()},
    }


def authors_checkpoint() -> dict:
    student = {f'module.{key}': value for key, value in authors_network(True).items()}
    return dict(
        student=student,
        teacher=authors_network(False),
        optimizer=dict(state={}),
        epoch=3,
        args=argparse.Namespace(arch='vit_small', lr=1e-3),
        ibot_loss=dict(center=torch.randn(1, K), center2=torch.randn(1, 1, K)),
    )


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.parametrize(('patch', 'clip'), [(8, False), (16, False), (16, True)], ids=['8', '16', 'clip'])
def test_features_equal_those_of_timm(patch, clip):
    torch.manual_seed(patch)
    choices = dict(pre_norm=True, act_layer='quick_gelu', norm_layer=partial(nn.LayerNorm, eps=1e-5)) if clip else {}
    theirs = timm_vit.VisionTransformer(
        img_size=2 * patch,
        patch_size=patch,
        embed_dim=C,
        depth=LAYERS,
        num_heads=HEADS,
        mlp_ratio=2,
        num_classes=3,
        **choices,
    ).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    images = torch.randn(2, 3, 2 * patch, 2 * patch)
    weights = to_ours(theirs.state_dict())
    assert weights.format == 'timm' and weights.ignored == ['head.bias', 'head.weight']
    found = features(weights.backbone, images, eps=1e-5 if clip else 1e-6, quick=clip)
    torch.testing.assert_close(found, theirs.forward_features(images), rtol=1e-5, atol=1e-5)


# Made with transformers 4.57.6 from models of hidden_size 48, 2 layers, 3 heads, intermediate_size 96, image_size 32,
# patch_size 8, every weight `formula(name, shape)`, images `formula('images', (2, 3, 32, 32))`: last_hidden_state of
# ViTModel; post_layernorm of the last hidden state of CLIPVisionModel; [1, ::5, ::16] of each.
GOLDEN = dict(
    huggingface=[
        0.592452,
        -0.312942,
        0.312167,
        0.562302,
        -0.106885,
        0.327101,
        0.607744,
        -0.130221,
        0.32022,
        0.713745,
        -0.264762,
        0.31782,
    ],
    clip=[
        0.228504,
        -0.807879,
        0.053562,
        0.190151,
        -0.832757,
        0.034417,
        0.297227,
        -0.772677,
        0.121914,
        0.18466,
        -0.786957,
        -0.013447,
    ],
)
BLOCK = dict(
    huggingface='encoder.layer.{}.attention.attention.query attention.attention.key attention.attention.value '
    'attention.output.dense layernorm_before layernorm_after intermediate.dense output.dense',
    clip='vision_model.encoder.layers.{}.self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.out_proj '
    'layer_norm1 layer_norm2 mlp.fc1 mlp.fc2',
)


def huggingface_state(kind: str) -> dict:
    """Tensors of the two models above, by the names transformers gives them."""
    first, *parts = BLOCK[kind].split()
    root = first[: first.index('{}') + 2]
    hidden = {6: (HIDDEN, C), 7: (C, HIDDEN)}
    shapes = {}
    for layer in range(LAYERS):
        for index, part in enumerate([first[len(root) + 1 :], *parts]):
            shape = hidden.get(index, (C,) if index in (4, 5) else (C, C))
            shapes[f'{root.format(layer)}.{part}.weight'] = shape
            shapes[f'{root.format(layer)}.{part}.bias'] = shape[:1]
    if kind == 'clip':
        norms = ('pre_layrnorm', 'post_layernorm')
        shapes.update({f'vision_model.{norm}.{part}': (C,) for norm in norms for part in ('weight', 'bias')})
        shapes.update(
            {
                'vision_model.embeddings.class_embedding': (C,),
                'vision_model.embeddings.patch_embedding.weight': (C, 3, 8, 8),
                'vision_model.embeddings.position_embedding.weight': (17, C),
            }
        )
    else:
        shapes.update(
            {
                'embeddings.cls_token': (1, 1, C),
                'embeddings.position_embeddings': (1, 17, C),
                'embeddings.patch_embeddings.projection.weight': (C, 3, 8, 8),
                'embeddings.patch_embeddings.projection.bias': (C,),
                'layernorm.weight': (C,),
                'layernorm.bias': (C,),
            }
        )
    return {name: formula(name, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize('kind', GOLDEN)
def test_features_equal_those_of_transformers(kind):
    state = huggingface_state(kind)
    beside = {'vision_model.embeddings.position_ids': torch.arange(17), 'logit_scale': torch.ones(())}
    if kind == 'huggingface':
        beside = {'classifier.weight': torch.ones(3, C)}
        state = {f'vit.{name}': value for name, value in state.items()}
    weights = to_ours({**state, **beside})
    assert weights.format == kind and weights.ignored == sorted(beside)
    images = formula('images', (2, 3, 32, 32))
    found = features(weights.backbone, images, eps=1e-5 if kind == 'clip' else 1e-12, quick=kind == 'clip')
    torch.testing.assert_close(found[1, ::5, ::16].flatten(), torch.tensor(GOLDEN[kind]), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize('script', [False, True], ids=['OpenMMLab', 'TorchScript'])
def test_half_precision_weights_of_openai_clip_compute_the_same_in_float32(script, tmp_path):
    torch.manual_seed(0)
    clip = nn.Module()
    clip.visual = OpenAIViT(input_resolution=16, patch_size=8, width=C, layers=LAYERS, heads=HEADS, output_dim=5)
    clip.half().float().eval()
    clip.register_buffer('positional_embedding', torch.zeros(7, C))
    images = torch.randn(2, 3, 16, 16)
    path = str(tmp_path / 'clip_vit_base_16.pth.tar')
    if script:
        clip.half()
        clip.forward = lambda x: x + 1
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.jit.save(torch.jit.trace(clip, torch.zeros(1)), path)
        clip.float()
    else:
        torch.save({key: value.half() for key, value in clip.state_dict().items()}, path)
    weights = read_vit(path)
    assert weights.format == 'clip' and weights.ignored == ['positional_embedding', 'visual.proj']
    clip.visual.proj = None
    with torch.no_grad():
        expected, _ = clip.visual(images)
    found = features(weights.backbone, images, eps=1e-5, quick=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('format', 'kind'),
    [
        ('mmdecouple', dict(mask_token=True)),
        ('ibot', dict(mask_token=True)),
        ('huggingface', {}),
        ('timm', dict(pre_norm=True)),
        ('mmdecouple', dict(pre_norm=True)),
        ('timm', {}),
        ('dino', {}),
    ],
)
def test_a_backbone_goes_to_a_format_and_back_unchanged(format, kind):
    backbone = own_backbone(**kind)
    assert_same(to_ours(from_ours(backbone, format), format=format).backbone, backbone)


def test_an_ibot_checkpoint_goes_to_ours_and_back_unchanged():
    theirs = authors_checkpoint()
    student, teacher = (to_ours(theirs, role) for role in ('student', 'teacher'))
    assert student.format == teacher.format == 'ibot'
    ours = dict(state_dict=own_checkpoint(student, teacher))
    again = ibot_checkpoint(to_ours(ours, 'student'), to_ours(ours, 'teacher'))
    for part in ('student', 'teacher', 'ibot_loss'):
        assert_same(again[part], theirs[part])
    assert torch.equal(ours['state_dict']['teacher.backbone.mask_token'], student.backbone['mask_token'])


def test_a_leopart_checkpoint_goes_to_ours_and_back_unchanged():
    layers = {'projection_head.0': (16, C), 'projection_head.2': (16, 16), 'projection_head.4': (8, 16)}
    networks = {}
    for owner in ('model', 'teacher'):
        head = {
            f'{name}.{kind}': torch.randn(shape[: 2 if kind == 'weight' else 1])
            for name, shape in layers.items()
            for kind in ('weight', 'bias')
        }
        network = {**from_ours(own_backbone(), 'dino'), **head, 'prototypes.weight': torch.randn(K, 8)}
        networks |= {f'{owner}.{key}': value for key, value in network.items()}
    theirs = {'state_dict': networks, 'epoch': 49, 'hyper_parameters': dict(arch='vit-small')}
    assert roles_of(theirs) == ('teacher', 'student')
    student, teacher = (to_ours(theirs, role) for role in ('student', 'teacher'))
    assert student.format == teacher.format == 'leopart'
    assert torch.equal(student.rest['neck.prototypes.weight'], networks['model.prototypes.weight'])
    assert torch.equal(teacher.rest['neck.mlp.4.bias'], networks['teacher.projection_head.4.bias'])
    ours = dict(state_dict=own_checkpoint(student, teacher))
    again = leopart_checkpoint(to_ours(ours, 'student'), to_ours(ours, 'teacher'))
    assert_same(again['state_dict'], networks)
    neck = PrototypeHead(C, K, hidden_channels=16, out_channels=8)
    neck.load_state_dict(
        {
            key.removeprefix('teacher.neck.'): value
            for key, value in ours['state_dict'].items()
            if key.startswith('teacher.neck.')
        }
    )
    with pytest.raises(ValueError, match='has no PrototypeHead; choose one network'):
        leopart_checkpoint(to_ours(authors_checkpoint(), 'student'), teacher)


def test_the_head_of_the_authors_gives_the_same_logits():
    theirs = authors_head()
    network = {**authors_network(False), **{f'head.{key}': value for key, value in theirs.state_dict().items()}}
    rest = to_ours(dict(teacher=network)).rest
    ours = DINOHead(C, K, hidden_channels=16, bottleneck_channels=8)
    ours.load_state_dict({key.removeprefix('neck.'): value for key, value in rest.items()})
    tokens = torch.randn(5, C)
    expected = theirs.last_layer(nn.functional.normalize(theirs.mlp(tokens), dim=-1))
    torch.testing.assert_close(ours(tokens), expected, rtol=1e-5, atol=1e-6)


def test_a_full_dino_checkpoint_gives_its_head_and_center():
    network = {key: value for key, value in authors_network(False).items() if 'last_layer2' not in key}
    center = torch.randn(1, K)
    found = to_ours(
        dict(
            student={f'module.{key}': value for key, value in network.items()},
            teacher=network,
            dino_loss=dict(center=center),
        ),
        'student',
    )
    assert found.format == 'dino' and found.ignored == ['teacher'] and len(found.rest) == 9
    assert torch.equal(found.rest['class_center.value'], center[0])
    assert found.names['class_center.value'] == 'dino_loss.center'


def test_only_the_aligned_levels_of_maskalign_are_taken():
    state = from_ours(own_backbone(), 'timm')
    state.update(
        {
            f'distill_heads.{level}.{kind}': torch.full((4, C)[: 2 if kind == 'weight' else 1], float(level))
            for level in range(8)
            for kind in ('weight', 'bias')
        }
    )
    state.update(distill_weights=torch.arange(16.0).reshape(8, 2))
    teacher = {'clip_model.vision_model.encoder.layers.0.layer_norm1.weight': torch.ones(C)}
    found = to_ours(dict(model={**state, **teacher}, args=argparse.Namespace(loss_weights='top3'), epoch=1))
    assert torch.equal(found.rest['neck.weights'], state['distill_weights'][5:])
    assert [found.rest[f'neck.heads.{level}.bias'][0].item() for level in range(3)] == [5, 6, 7]
    assert set(teacher) < set(found.ignored) and len(found.rest) == 7
    assert len(to_ours(dict(model=state)).rest['neck.weights']) == 5


@pytest.mark.parametrize(
    ('name', 'extra'), [('vit.pth', dict(args=argparse.Namespace(arch='vit'))), ('vit.safetensors', None)]
)
def test_files_are_read_without_running_code(name, extra, tmp_path):
    state, path = from_ours(own_backbone(), 'dino'), str(tmp_path / name)
    save_file(state, path) if extra is None else torch.save(dict(teacher=authors_network(False), **extra), path)
    assert read_vit(path).format in ('dino', 'ibot')
    if extra is not None:
        torch.save(dict(state, hook=print), path)
        with pytest.raises(ValueError, match='holds more than weights .*--allow-pickle'):
            read_vit(path)
        assert read_vit(path, allow_pickle=True).ignored == ['hook']


def _without(key):
    return {name: value for name, value in from_ours(own_backbone(), 'timm').items() if name != key}


def _differing():
    checkpoint = authors_checkpoint()
    checkpoint['teacher']['head.last_layer2.weight_v'] += 1
    return checkpoint


@pytest.mark.parametrize(
    ('content', 'choice', 'line'),
    [
        (
            lambda: _without('blocks.1.norm1.weight'),
            {},
            r"'x.pth' \(format dino\) lacks blocks.1.norm1.weight of a backbone of 2 blocks.",
        ),
        (lambda: _without('cls_token'), {}, r'lacks cls_token of a backbone of 2 blocks.'),
        (
            lambda: {**_without(''), 'blocks.0.attn.q_norm.weight': torch.ones(C)},
            {},
            'blocks.0.attn.q_norm.weight, which DenseViT does not have',
        ),
        (
            lambda: {**_without(''), 'blocks.0.ls1.gamma': torch.ones(C)},
            {},
            r"'x.pth' \(format timm\) lacks blocks.0.ls2.gamma, blocks.1.ls1.gamma, blocks.1.ls2.gamma of a backbone",
        ),
        (
            lambda: {**_without(''), 'blocks.1.mlp.fc1.weight': torch.ones(9, C)},
            {},
            r'blocks.1.mlp.fc1.weight has the shape \(9, 48\), but a backbone of width 48 requires \(96, 48\); use',
        ),
        (lambda: {**_without(''), 'pos_embed': torch.ones(16, C + 1)}, {}, 'pos_embed has the shape'),
        (_differing, {}, r'head.last_layer2.weight_v differs from head.last_layer.weight_v'),
        (lambda: dict(teacher=authors_network(False)), dict(role='student'), 'holds no student, only a teacher'),
        (lambda: dict(layer1=torch.ones(2)), {}, 'holds no ViT in one of the formats .* begin with layer1'),
        (lambda: _without(''), dict(format='huggingface'), 'has the tensor names of format dino, not of huggingface'),
        (dict, dict(format='keras'), "format must be one of auto, .*, got 'keras'"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(content, choice, line):
    with pytest.raises(ValueError, match=line) as error:
        to_ours(content(), where="'x.pth'", **choice)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('format', ['dino', 'clip'])
def test_a_format_without_a_place_for_a_tensor_is_refused(format):
    with pytest.raises(ValueError, match='does not support the backbone tensor pre_norm|format must be one of'):
        from_ours(own_backbone(pre_norm=True), format)
