"""Every word that names a network opens the same network as its makers' own code."""

import logging
import sys

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.models import ResNet
from mmpretrain.models.utils.clip_generator_helper import VisionTransformer as OpenAIViT
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer

from mmdecouple.models import DenseViT
from mmdecouple.networks.network import open_network
from mmdecouple.networks.stored import build_stored
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.vit import from_ours

MEAN, STD = (0.5, 0.4, 0.3), (0.3, 0.2, 0.1)
NAME = 'timm:vit_doll_patch14_reg4'
CONFIG = """
model = dict(type='DenseCL', backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=4,
                                           num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2, )),
             neck=dict(type='mmpretrain.DenseCLNeck', in_channels=16, hid_channels=8, out_channels=8, num_grid=None),
             queue_length=8)
"""


@register_model
def vit_doll_patch14_reg4(pretrained=False, pretrained_cfg=None, **kwargs):
    """A DINOv2 of a doll's size, with registers, in timm's own class."""
    kwargs = {key: kwargs[key] for key in ('num_classes', 'dynamic_img_size') if key in kwargs}
    model = VisionTransformer(
        img_size=56,
        patch_size=14,
        embed_dim=48,
        depth=2,
        num_heads=3,
        reg_tokens=4,
        no_embed_class=True,
        init_values=0.5,
        global_pool='token',
        **kwargs,
    )
    model.pretrained_cfg = dict(mean=MEAN, std=STD, input_size=(3, 56, 56))
    return model


@MODELS.register_module()
class StridelessResNet(torch.nn.Module):
    """A backbone of which nothing is known but its maps."""

    def __init__(self, **settings):
        super().__init__()
        self.net = ResNet(**settings)

    def forward(self, images):
        return self.net(images)


@pytest.fixture(scope='module')
def doll():
    torch.manual_seed(0)
    model = timm.create_model('vit_doll_patch14_reg4', num_classes=0, dynamic_img_size=True).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def official(state):
    """Timm's DINOv2 in the names and shapes of its authors: the class token has a position of its own."""
    position = torch.randn(1, 1, 48)
    state = dict(state)
    return {
        'cls_token': state.pop('cls_token') - position,
        'register_tokens': state.pop('reg_token'),
        'mask_token': torch.zeros(1, 48),
        'pos_embed': torch.cat([position, state.pop('pos_embed')], 1),
        **state,
    }


@pytest.mark.parametrize('form', ['timm', 'official', 'dino'])
def test_a_model_of_timm_gives_the_patch_tokens_that_timm_gives(doll, tmp_path, form):
    state = doll.state_dict()
    noise = {f'module.backbone.{key}': torch.randn_like(value) for key, value in state.items()}
    content = dict(
        timm=state,
        official=official(state),
        dino=dict(
            student=noise,
            teacher={
                **{f'module.backbone.{key}': value for key, value in state.items()},
                'module.head.last_layer.weight': torch.zeros(3),
            },
        ),
    )[form]
    torch.save(content, tmp_path / 'w.pth')
    network = open_network(f'{NAME}={tmp_path / "w.pth"}')
    images = torch.randint(0, 256, (2, 3, 28, 70), dtype=torch.uint8)
    samples = network.model.test_step(dict(inputs=list(images)))
    normalized = (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        tokens = doll.forward_features(normalized)[:, 5:]
    expected = tokens.transpose(1, 2).unflatten(2, (2, 5))
    found = torch.stack([sample.dense.cpu() for sample in samples])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert network.cell == 14 and network.name == 'vit_doll_patch14_reg4-w' and not network.model.training
    if form == 'dino':
        student = open_network(f'{NAME}={tmp_path / "w.pth"}', measured='student').model
        assert not torch.allclose(
            student.dense_features(normalized.to(network.model.data_preprocessor.device)).cpu(), expected, atol=0.1
        )


def test_a_run_opens_alike_by_folder_checkpoint_config_and_what_the_file_stores(tmp_path):
    init_default_scope('mmdecouple')
    config = Config.fromstring(CONFIG, '.py')
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    folder = tmp_path / 'run'
    (folder / '20260101_000000' / 'vis_data').mkdir(parents=True)
    (folder / '20260101_000000' / 'vis_data' / 'config.py').write_text(CONFIG)
    (tmp_path / 'tiny.py').write_text(CONFIG)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'epoch_1.pth')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=config.pretty_text)), tmp_path / 'alone.pth')
    images = torch.randn(2, 3, 64, 64)
    expected = model.dense_features(images)
    words = {
        str(folder): 'run',
        str(folder / 'epoch_1.pth'): 'run-epoch_1',
        f'{tmp_path / "tiny.py"}={folder / "epoch_1.pth"}': 'run-epoch_1',
        str(tmp_path / 'alone.pth'): f'{tmp_path.name}-alone',
    }
    for word, name in words.items():
        network = open_network(word)
        assert network.name == name and network.cell == 64 // expected.shape[-1] == 8
        device = network.model.data_preprocessor.device
        torch.testing.assert_close(network.model.dense_features(images.to(device)).cpu(), expected)
    untrained = [
        open_network(str(tmp_path / 'tiny.py'), **seed).model.state_dict()
        for seed in (dict(seed=0), dict(), dict(seed=1))
    ]
    key = 'backbone.conv1.weight'
    assert torch.equal(untrained[0][key], untrained[1][key]) and not torch.equal(untrained[0][key], untrained[2][key])


def test_a_checkpoint_whose_config_has_a_former_setting_of_training_opens(tmp_path):
    init_default_scope('mmdecouple')
    config = Config.fromstring(CONFIG.replace('queue_length=8', 'queue_length=8, match_rank=1'), '.py')
    model = MODELS.build({key: value for key, value in config.model.items() if key != 'match_rank'}).eval()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=config.pretty_text)), tmp_path / 'former.pth')
    images, network = torch.randn(2, 3, 64, 64), open_network(str(tmp_path / 'former.pth'))
    found = network.model.dense_features(images.to(network.model.data_preprocessor.device)).cpu()
    torch.testing.assert_close(found, model.dense_features(images))


def test_a_published_vit_opens_by_its_file_alone(tmp_path):
    init_default_scope('mmdecouple')
    arch = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=384)
    backbone = DenseViT(arch, img_size=32, patch_size=8, norm_cfg=dict(type='LN', eps=1e-6))
    backbone.eval()
    torch.save(from_ours(backbone.state_dict(), 'dino'), tmp_path / 'dino.pth')
    network = open_network(str(tmp_path / 'dino.pth'))
    images = torch.randn(1, 3, 24, 48)
    found = network.model.dense_features(images.to(network.model.data_preprocessor.device)).cpu()
    torch.testing.assert_close(found, backbone.dense_map(images).detach(), atol=1e-5, rtol=1e-5)
    assert network.cell == 8


@pytest.mark.parametrize('form, eps', [('timm', 1e-6), ('dino', 1e-6), ('ibot', 1e-6), ('huggingface', 1e-12)])
def test_the_norms_of_a_published_vit_have_the_floor_of_its_makers(form, eps, tmp_path):
    """`layer_norm_eps` of transformers' ViTConfig is 1e-12; timm, DINO and iBOT build their norms with 1e-6."""
    arch = dict(embed_dims=192, num_layers=1, num_heads=3, feedforward_channels=192)
    torch.save(from_ours(DenseViT(arch, img_size=32, patch_size=8).state_dict(), form), tmp_path / 'vit.pth')
    opened = open_network(str(tmp_path / 'vit.pth')).model
    assert {module.eps for module in opened.modules() if isinstance(module, torch.nn.LayerNorm)} == {eps}
    assert opened.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def test_clip_opens_by_its_file_alone_and_sees_images_as_its_makers_normalize_them(tmp_path):
    torch.manual_seed(0)
    clip = torch.nn.Module()
    clip.visual = OpenAIViT(input_resolution=16, patch_size=8, width=192, layers=2, heads=3, output_dim=5).eval()
    clip.register_buffer('positional_embedding', torch.zeros(7, 192))
    # Small tokens, so that the floor of the norms, 1e-5, shows.
    for name in ('conv1.weight', 'class_embedding', 'positional_embedding'):
        clip.visual.get_parameter(name).data.mul_(0.02)
    torch.save(clip.state_dict(), tmp_path / 'clip.pth')
    network = open_network(str(tmp_path / 'clip.pth'))
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    # Of OpenAI's `clip.py`.
    mean, std = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    normalized = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    clip.visual.proj = None
    with torch.no_grad():
        tokens = clip.visual(normalized)[0]
    found = torch.stack([sample.dense.cpu() for sample in network.model.test_step(dict(inputs=list(images)))])
    torch.testing.assert_close(found, tokens[:, 1:].transpose(1, 2).unflatten(2, (2, 2)), rtol=1e-4, atol=1e-4)


def test_an_opened_network_learns_nothing_and_its_loud_initialization_is_not_shown(tmp_path):
    (tmp_path / 'tiny.py').write_text(CONFIG)
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel('INFO')
    levels = []
    logger.addFilter(lambda record: levels.append(record.levelname) or False)
    try:
        for word in (str(tmp_path / 'tiny.py'), NAME):
            model = open_network(word).model
            assert not model.training and not any(value.requires_grad for value in model.parameters())
        assert logger.level == logging.INFO and 'INFO' not in levels
    finally:
        logger.filters.pop()
        logger.setLevel(before)


@pytest.mark.parametrize(
    'change, line',
    [
        ("model['type'] = 'NoSuchMethod'", '(KeyError: NoSuchMethod is not in the mmdecouple::model registry)'),
        ("model['bend'] = 1", "unexpected keyword argument 'bend'"),
        ('del model', 'tiny-untrained: its config has no model; set the config key model'),
    ],
)
def test_a_config_that_builds_no_network_is_one_clear_line(change, line, tmp_path):
    (tmp_path / 'tiny.py').write_text(f'{CONFIG}\n{change}\n')
    with pytest.raises(UserError) as caught:
        open_network(str(tmp_path / 'tiny.py'))
    assert line in str(caught.value) and '\n' not in str(caught.value)


def test_a_backbone_that_does_not_say_its_stride_has_that_of_the_config(tmp_path):
    config = CONFIG.replace("type='DenseCL'", "type='DenseCL', dense_stride=16").replace(
        'mmpretrain.ResNet', 'StridelessResNet'
    )
    (tmp_path / 'tiny.py').write_text(config)
    assert open_network(str(tmp_path / 'tiny.py')).cell == 16
    (tmp_path / 'tiny.py').write_text(config.replace('dense_stride=16', 'dense_stride=None'))
    with pytest.raises(UserError, match='the stride of the backbone is unknown; set the config key model.dense_stride'):
        open_network(str(tmp_path / 'tiny.py'))


def test_a_stored_config_may_add_so_many_values_and_parts_to_those_of_its_file(monkeypatch):
    init_default_scope('mmdecouple')
    config = Config.fromstring(CONFIG, '.py').model
    whole = MODELS.build(config)
    held = {key: value for key, value in whole.state_dict().items() if 'backbone' in key}
    added = sum(value.numel() for value in (*whole.parameters(), *whole.buffers())) - sum(
        value.numel() for value in held.values()
    )
    module = sys.modules[build_stored.__module__]
    monkeypatch.setattr(module, '_MOST_VALUES', added)
    assert type(build_stored(config, held, 'f.pth')) is type(whole)
    monkeypatch.setattr(module, '_MOST_VALUES', added - 1)
    with pytest.raises(UserError, match=r'f.pth: .* values, of which the file holds \d+; name its config'):
        build_stored(config, held, 'f.pth')
    monkeypatch.setattr(module, '_MOST_PARTS', 20)
    with pytest.raises(UserError, match='f.pth: .* more than 20 parts'):
        build_stored(config, held, 'f.pth')


def test_code_in_a_stored_config_is_not_run(tmp_path):
    trap = f"model = dict(type='DenseCL', x=open({str(tmp_path / 'trap')!r}, 'w'))"
    torch.save(dict(state_dict={}, meta=dict(cfg=trap)), tmp_path / 'trap.pth')
    with pytest.raises(ValueError, match='the config stored in it holds more than plain values'):
        open_network(str(tmp_path / 'trap.pth'))
    assert not (tmp_path / 'trap').exists()


def test_words_and_weights_that_do_not_fit_are_one_clear_line(doll, tmp_path):
    state = doll.state_dict()
    files = dict(
        short={key: value for key, value in state.items() if key != 'blocks.1.mlp.fc2.bias'},
        long={**state, 'blocks.2.mlp.fc2.bias': torch.zeros(48)},
        small={**state, 'patch_embed.proj.weight': torch.zeros(48, 3, 8, 8)},
        wide={**state, 'norm.weight': torch.zeros(64)},
        odd=dict(state_dict={}, meta=dict(cfg="model = dict(type='NoSuchMethod')")),
        headless=dict(state_dict={'neck.weight': torch.zeros(2)}, meta={}),
    )
    for name, content in files.items():
        torch.save(content, tmp_path / f'{name}.pth')
    (tmp_path / 'tiny.py').write_text(CONFIG)
    (tmp_path / 'empty').mkdir()
    path = {name: str(tmp_path / f'{name}.pth') for name in files}
    for word, line in (
        ('timm:vit_doll_patch14_reg', "has no model 'vit_doll_patch14_reg'; close names: vit_doll_patch14_reg4"),
        (f'{NAME}={path["short"]}', '1 missing (blocks.1.mlp.fc2.bias)'),
        (f'{NAME}={path["long"]}', '1 unknown (blocks.2.mlp.fc2.bias)'),
        (f'{NAME}={path["small"]}', 'has patches of 8 pixels, but those of timm:vit_doll_patch14_reg4 have 14'),
        (f'{NAME}={path["wide"]}', '1 of another shape (norm.weight)'),
        (f'{NAME}={tmp_path / "none.pth"}', "none.pth' does not exist"),
        (f'timm:test_resnet={path["headless"]}', 'does not fit timm:test_resnet'),
        (path['odd'], "model.type='NoSuchMethod' is not among the types that it may build"),
        (path['headless'], f'use CONFIG.py={path["headless"]}'),
        (f'{tmp_path / "tiny.py"}={path["headless"]}', 'does not fit the model'),
        (str(tmp_path / 'empty'), 'no readable checkpoint'),
        ('nothing.py', 'config nothing.py does not exist'),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            open_network(word)
        assert line in str(caught.value) and '\n' not in str(caught.value), caught.value
    for size in ((32, 28), (28, 32)):
        with pytest.raises(
            ValueError, match=f'{size[0]} x {size[1]} pixels does not divide into the cells of 14 pixels'
        ):
            open_network(NAME).model.dense_features(torch.zeros(1, 3, *size))
    with pytest.raises(ValueError, match="must be 'teacher' or 'student'"):
        open_network(NAME, measured='layer3')


def test_weights_that_are_finite_and_overflow_are_refused_where_features_are_read():
    network = open_network('mmdecouple::demo/ibot_vit-demo_scenes.py')
    next(network.model.measured_backbone.layers[0].parameters()).data.fill_(3e38)
    with pytest.raises(UserError, match='features that are not finite'):
        network.model.dense_features(torch.ones(1, 3, 64, 64))
