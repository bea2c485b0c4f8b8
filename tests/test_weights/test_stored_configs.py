"""The config that a file carries builds what runs of ours store, and nothing else; a run is measured with its own."""

import inspect
import os
import time

import pytest
import torch
from mmengine.config import Config

from mmdecouple.networks.network import open_network
from mmdecouple.registry import DATASETS, MEASURES, MODELS, TRANSFORMS
from mmdecouple.runs.contents import read_run
from mmdecouple.utils.configs import configs_folder, load_config
from mmdecouple.utils.errors import UserError, one_line
from mmdecouple.weights.loading import load_weights
from mmdecouple.weights.stored_configs import read_stored_config
from mmdecouple.weights.stored_types import DATA_TYPES, NETWORK_TYPES
from tests.test_visualization.tiny import CONFIG

SHIPPED = sorted(
    str(path.relative_to(configs_folder()))
    for path in configs_folder().glob('*/*.py')
    if path.parent.name not in ('_base_', 'downstream', 'ablations')
)


def without_files(value):
    """A model without the files that a stored config does not open."""
    if not isinstance(value, dict):
        return value
    return {key: without_files(item) if key not in ('weights', 'checkpoint') else None for key, item in value.items()}


@pytest.mark.parametrize('name', SHIPPED)
def test_what_a_run_of_a_shipped_config_stores_is_read_back(name):
    config = load_config(str(configs_folder() / name))
    found = read_stored_config(config.pretty_text, 'a.pth')
    assert without_files(found.model.to_dict()) == without_files(config.model.to_dict())
    for key in ('train_dataloader', 'test_dataloader'):
        assert found[key].dataset == config[key].dataset
    assert found.train_cfg.max_epochs == config.train_cfg.max_epochs
    assert config.model.backbone.get('weights') == found.get('started_from')


def test_every_type_that_may_be_built_is_a_registered_class_that_is_given_no_file():
    from mmdecouple.masks import build_mask, samplers

    for name in NETWORK_TYPES | DATA_TYPES:
        places = [
            registry.get(name)
            for registry in (MODELS, DATASETS, TRANSFORMS, MEASURES)
            if name.rpartition('.')[2] in registry.module_dict or (name in NETWORK_TYPES and registry is MODELS)
        ]
        places = [place for place in places if inspect.isclass(place)] or [getattr(samplers, name)]
        assert places, name
    assert callable(build_mask)


def stored(text, path):
    torch.save(dict(meta=dict(cfg=text, experiment_name='x_20260101_000000'), state_dict={'w': torch.zeros(1)}), path)
    return str(path)


VIT = """model = dict(type='DenseCL', backbone=dict(type='DenseViT', arch=dict({})),
             neck=dict(type='mmpretrain.DenseCLNeck', in_channels=8, hid_channels=8, out_channels=8))
"""


@pytest.mark.parametrize(
    'text, line',
    [
        (CONFIG.replace("type='DenseCL'", "type='DenseCL', _scope_='os'"), 'model._scope_ is not a setting'),
        (
            CONFIG.replace(
                "type='DenseCL'", "type='DenseCL', init_cfg=dict(type='Pretrained', checkpoint='/etc/passwd')"
            ),
            'model.init_cfg.type=.*could read any file',
        ),
        (CONFIG.replace('depth=18', "depth=18, pretrained='/etc/passwd'"), 'backbone.pretrained=.*could read any file'),
        (
            VIT.format('').replace('arch=dict()', "patch_cfg=dict(conv_type='antigravity')"),
            "conv_type='antigravity' is not a value",
        ),
        (
            CONFIG.replace("norm_cfg=dict(type='BN')", "norm_cfg=dict(type='torch.nn.BatchNorm2d')"),
            'not among the types',
        ),
        (CONFIG.replace("norm_cfg=dict(type='BN')", "norm_cfg=[dict(type=['a'])]"), 'not among the types'),
        (
            CONFIG.replace("type='ProbeDataset'", "type='ProbeDataset', bank=dict(type='os.system')"),
            'test_dataloader.dataset.bank.type=.*not among',
        ),
        (CONFIG.replace("type='DenseCL'", "type='DenseCL', measured='../a'"), 'is not a value of a setting'),
        (CONFIG.replace('queue_length=32', 'queue_length=10000000000'), 'queue_length=10000000000 is out of range'),
        (CONFIG.replace('queue_length=32', 'queue_length=1e999'), 'queue_length=inf is out of range'),
        (CONFIG.replace('queue_length=32', f'queue_length={"[" * 60}{"]" * 60}'), 'is too deep'),
        (VIT.format('embed_dims=8, num_layers=900000, num_heads=1, feedforward_channels=8'), 'more than 10000 parts'),
        (
            VIT.format('embed_dims=900000, num_layers=2, num_heads=1, feedforward_channels=900000'),
            'does not fit the model',
        ),
        (CONFIG.replace("type='DenseCL'", "type='DenseCL', nonsense=1"), 'cannot be built .TypeError'),
        ('model = dict(type="DenseCL", x=' + '-' * 4000 + '1)', 'more than plain values'),
        ('model = [1]', 'has no model'),
        ('model = ', 'more than plain values'),
        ('x' * (1 << 21), 'more than plain values'),
    ],
)
def test_what_no_network_of_ours_holds_is_refused_in_one_quick_line(text, line, tmp_path):
    begun = time.monotonic()
    for lead in ('', 'untrained:'):
        with pytest.raises(UserError, match=line) as error:
            open_network(lead + stored(text, tmp_path / 'a.pth'))
        assert len(one_line(str(error.value))) <= 300
    assert time.monotonic() - begun < 40


def test_a_config_that_inherits_one_of_this_package_and_a_modern_vit_is_read(tmp_path):
    backbone = dict(
        type='DenseViT',
        arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64),
        img_size=32,
        position='rope',
        rope=dict(rescale=2.0),
        register_tokens=2,
        key_bias=False,
        layer_cfgs=dict(ffn_type='swiglu_fused'),
        norm_cfg=dict(type='LN', eps=1e-5),
    )
    neck = dict(type='PrototypeHead', in_channels=32, prototypes=8)
    text = f"model = dict(type='Leopart', _scope_='mmdecouple', backbone={backbone}, neck={neck})"
    model = MODELS.build(Config.fromstring(text, '.py').model)
    torch.save(dict(meta=dict(cfg=text), state_dict=model.state_dict()), tmp_path / 'a.pth')
    found = open_network(str(tmp_path / 'a.pth')).model.measured_backbone
    assert torch.equal(found.rope.periods, model.backbone.rope.periods) and found.num_extra_tokens == 3


def test_a_large_part_that_the_file_does_not_hold_is_refused_before_it_takes_memory(tmp_path):
    model = MODELS.build(Config.fromstring(CONFIG, '.py').model)
    state = {key: value for key, value in model.state_dict().items() if 'backbone' in key}
    text = CONFIG.replace('hid_channels=32, out_channels=16', 'hid_channels=500000, out_channels=500000')
    torch.save(dict(meta=dict(cfg=text), state_dict=state), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='values, of which the file holds'):
        open_network(str(tmp_path / 'a.pth'))


def run_folder(folder, config=CONFIG):
    """A run as it leaves its folder: logs, the dumped config, a checkpoint that records it."""
    (folder / '20260101_000000' / 'vis_data').mkdir(parents=True)
    (folder / 'tiny_20260101_000000.py').write_text(config)
    torch.manual_seed(0)
    model = MODELS.build(Config.fromstring(CONFIG, '.py').model)
    torch.save(
        dict(meta=dict(cfg=config, experiment_name='tiny_20260101_000000'), state_dict=model.state_dict()),
        folder / 'epoch_1.pth',
    )
    return model.eval()


def test_a_run_is_measured_with_the_config_that_it_recorded_whatever_lies_beside_it(tmp_path):
    model = run_folder(tmp_path / 'run')
    images = torch.randn(1, 3, 64, 64)
    expected = model.dense_features(images)
    # A refused resume has dumped another config, and the user keeps a script.
    later = tmp_path / 'run' / 'tiny_20270101_000000.py'
    later.write_text(CONFIG.replace('strides=(1, 2, 1)', 'strides=(1, 1, 1)'))
    script = tmp_path / 'run' / 'notes.py'
    script.write_text(f'open({str(tmp_path / "ran")!r}, "w")')
    os.utime(later, (3e9, 3e9))
    for word in (tmp_path / 'run', tmp_path / 'run' / 'epoch_1.pth'):
        network = open_network(str(word))
        assert torch.equal(network.model.cpu().dense_features(images), expected)
    assert not (tmp_path / 'ran').exists()
    checkpoint, config = read_run(tmp_path / 'run')
    assert (checkpoint.name, config.filename, config.text) == ('epoch_1.pth', 'tiny.py', CONFIG)
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content['state_dict'], checkpoint)
    with pytest.raises(UserError, match='does not state with which config it was trained, and its folder holds 3'):
        open_network(str(tmp_path / 'run'))


def test_the_untrained_network_of_a_run_is_that_of_its_config(tmp_path):
    run_folder(tmp_path / 'run')
    (tmp_path / 'tiny.py').write_text(CONFIG)
    expected = open_network(str(tmp_path / 'tiny.py'), seed=5).model.state_dict()
    for word in (tmp_path / 'run', tmp_path / 'run' / 'epoch_1.pth'):
        network = open_network(f'untrained:{word}', seed=5)
        assert network.checkpoint is None
        assert all(torch.equal(value, expected[key]) for key, value in network.model.state_dict().items())


def test_weights_that_training_began_with_are_not_opened_on_the_word_of_a_file(tmp_path):
    backbone = "backbone=dict(type='DenseViT', arch='deit-tiny', img_size=32, weights='/etc/passwd')"
    neck = "neck=dict(type='PrototypeHead', in_channels=192, prototypes=5)"
    text = f"model = dict(type='Leopart', {backbone}, {neck})\n"
    model = MODELS.build(Config.fromstring(text.replace("'/etc/passwd'", 'None'), '.py').model)
    torch.save(dict(meta=dict(cfg=text), state_dict=model.state_dict()), tmp_path / 'a.pth')
    assert open_network(str(tmp_path / 'a.pth')).model.backbone.weights is None
    with pytest.raises(UserError, match="its backbone was initialized from '/etc/passwd'"):
        open_network(f'untrained:{tmp_path / "a.pth"}')


def test_what_a_stored_config_imports_is_run_only_for_one_who_trusts_it(tmp_path, monkeypatch):
    (tmp_path / 'made_here.py').write_text(f'open({str(tmp_path / "ran")!r}, "w").close()')
    monkeypatch.syspath_prepend(str(tmp_path))
    run_folder(tmp_path / 'run', "custom_imports = dict(imports=['made_here'])\n" + CONFIG)
    with pytest.raises(UserError, match=r"imports \['made_here'\], code that is not run.*CONFIG.py=.*--allow-pickle"):
        open_network(str(tmp_path / 'run'))
    assert not (tmp_path / 'ran').exists()
    open_network(str(tmp_path / 'run'), allow_pickle=True)
    assert (tmp_path / 'ran').exists()


def test_a_backbone_with_more_than_the_model_has_is_another_network():
    model = torch.nn.ModuleDict(dict(backbone=torch.nn.Linear(2, 2)))
    weights = model.state_dict()
    load_weights(model, {**weights, 'head.weight': torch.ones(1), 'backbone.mask_token': torch.ones(1, 2)}, 'a.pth')
    with pytest.raises(UserError, match=r'1 unexpected .backbone.layer9.weight.'):
        load_weights(model, {**weights, 'backbone.layer9.weight': torch.ones(1)}, 'a.pth')
