"""Folders of DINOv2 and DINOv3: timm and transformers open them without a missing tensor and give equal features."""

import pytest
import timm
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from mmdecouple.commands.convert import main
from mmdecouple.export.features import Features
from mmdecouple.networks.network import open_network
from mmdecouple.registry import MODELS
from tests.test_export.test_folders import MEAN, STD
from tests.test_weights.test_modern_formats import TIMM, timm_model

transformers = pytest.importorskip('transformers')
CLASSES = {'reg4': 'Dinov2WithRegistersModel', 'dinov2': 'Dinov2Model', 'dinov3': 'DINOv3ViTModel'}


def near(found, features: Features, images):
    expected, extra = features(images), features.backbone.num_extra_tokens
    patches = expected['patches']
    limit = dict(atol=1e-5 * float(patches.abs().max()), rtol=0)
    torch.testing.assert_close(found[:, extra:].transpose(1, 2).reshape(patches.shape), patches, **limit)
    torch.testing.assert_close(found[:, 0], expected['class_token'], **limit)


@pytest.fixture(params=TIMM)
def network(request, tmp_path):
    """File of a small network, the name of its architecture, and its features."""
    path = tmp_path / 'model.safetensors'
    save_file(timm_model(request.param).state_dict(), path)
    return str(path), request.param, Features(open_network(str(path)))


@torch.no_grad()
def test_both_libraries_open_the_folders_and_give_the_same_features(network, tmp_path):
    path, name, features = network
    main([path, '--to', 'timm', '--out', str(tmp_path / 'timm')])
    main([path, '--to', 'huggingface', '--out', str(tmp_path / 'hf')])
    model = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    theirs, loaded = transformers.AutoModel.from_pretrained(str(tmp_path / 'hf'), output_loading_info=True)
    assert not any(loaded.values()), loaded
    kind = next(kind for mark, kind in CLASSES.items() if mark in name)
    assert type(theirs).__name__ == kind and type(model).__name__ == (
        'Eva' if 'dinov3' in name else 'VisionTransformer'
    )
    patch, filtered = features.multiple, 'antialiasing' in (tmp_path / 'timm' / 'README.md').read_text()
    assert filtered == ('dinov2' in name and 'reg4' not in name), 'the card states what timm computes differently'
    for sides in ((5, 5), (4, 7)):
        images = torch.rand(2, 3, *(patch * side for side in sides))
        near(theirs.eval()((images - MEAN) / STD).last_hidden_state, features, images)
        if sides == (5, 5) or not filtered:
            near(model.forward_features((images - MEAN) / STD), features, images)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['vit_small_patch14_reg4_dinov2', 'vit_small_plus_patch16_dinov3_qkvb'])
def test_the_onnx_graph_computes_the_same_at_any_size(name, tmp_path, capsys):
    pytest.importorskip('onnxscript')
    save_file(timm_model(name).state_dict(), tmp_path / 'model.safetensors')
    # It compares outputs at three sizes, and refuses a difference above 1e-4.
    main([str(tmp_path / 'model.safetensors'), '--to', 'onnx', '--out', str(tmp_path / 'out')])
    assert 'largest difference from torch' in capsys.readouterr().out


CONFIG = """
model = dict(
    type='IBOT',
    backbone=dict(
        type='DenseViT', arch=dict(embed_dims=48, num_layers=2, num_heads=4, feedforward_channels=96), img_size=64,
        patch_size=16, mask_token=True, position='rope', rope=dict(base=50.0, rescale=2.0), register_tokens=2,
        key_bias=False, layer_scale_init_value=0.1, layer_cfgs=dict(ffn_type='swiglu_fused'),
        norm_cfg=dict(type='LN', eps=1e-05)),
    neck=dict(type='DINOHead', in_channels=48, out_channels=11, hidden_channels=16, bottleneck_channels=8),
    teacher=dict(type='EMATeacher', momentum=0.996, end_momentum=1.0), mim_mask=dict(type='Blockwise'),
    data_preprocessor=dict(type='DensePreprocessor'))
"""


@torch.no_grad()
def test_a_trained_checkpoint_is_opened_with_its_stored_config_and_goes_to_both_libraries(tmp_path):
    torch.manual_seed(0)
    model, path = MODELS.build(Config.fromstring(CONFIG, '.py').model), tmp_path / 'epoch_1.pth'
    model.init_weights()
    for name, value in model.state_dict().items():
        if 'periods' not in name and 'qkv.bias' not in name:
            value.normal_(std=0.3)
    torch.save(dict(meta=dict(cfg=CONFIG, experiment_name='small'), state_dict=model.state_dict()), path)
    features = Features(open_network(str(path), measured='teacher'))
    images = torch.rand(2, 3, 64, 96)
    for to in ('timm', 'huggingface'):
        main([str(path), '--to', to, '--out', str(tmp_path / to)])
    opened = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    near(opened.forward_features((images - MEAN) / STD), features, images)
    opened = transformers.AutoModel.from_pretrained(str(tmp_path / 'huggingface')).eval()
    near(opened((images - MEAN) / STD).last_hidden_state, features, images)
    main([str(path), '--to', 'dinov3', '--out', str(tmp_path / 'meta')])
    theirs = torch.load(tmp_path / 'meta' / 'backbone.pth', weights_only=True)
    torch.testing.assert_close(theirs['rope_embed.periods'], 50 ** (torch.arange(3) / 3))
