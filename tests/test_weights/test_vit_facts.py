"""Properties of a ViT beyond its tensors: files that state them give equal features, other networks refuse them."""

import json

import pytest
import timm
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from mmdecouple.commands.convert import main as convert
from mmdecouple.downstream import PretrainedBackbone
from mmdecouple.models import DenseViT
from mmdecouple.networks.network import open_network
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.conversion import convert as converted
from mmdecouple.weights.loading import load_weights
from mmdecouple.weights.weight_files import read_weights

transformers = pytest.importorskip('transformers')
SIZES = dict(embed_dims=192, num_layers=2, num_heads=6, feedforward_channels=768)
PLAIN = dict(arch=SIZES, patch_size=16, img_size=64)
ROTARY = dict(position='rope', rope=dict(base=1000.0), register_tokens=2, layer_scale_init_value=1e-5, key_bias=False)
DINOV3 = dict(PLAIN, **ROTARY, norm_cfg=dict(type='LN', eps=1e-5))
QUICK = dict(PLAIN, layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')))
# 64 patches, like a square of 8 x 8.
LONG = dict(PLAIN, img_size=(64, 256))


def evaluated(model: torch.nn.Module) -> torch.nn.Module:
    # mmpretrain's networks return nothing.
    model.eval()
    return model


def randomized(model: torch.nn.Module) -> torch.nn.Module:
    random = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.data.normal_(0, 0.3 if 'qkv' in name else 0.1, generator=random)
        if any(part in name for part in ('norm', 'ln', 'gamma')) and not name.endswith('bias'):
            parameter.data.add_(1)
    return evaluated(model)


def network(settings: dict) -> DenseViT:
    vit = randomized(DenseViT(**settings))
    for layer in vit.layers:
        if settings.get('key_bias') is False and layer.attn.qkv.bias is not None:
            layer.attn.qkv.bias.data.chunk(3)[1].zero_()
    return vit


def run_of(settings: dict, path) -> tuple[DenseViT, str]:
    """A network and its checkpoint, as a run writes it."""
    vit = network(settings)
    config = Config(dict(model=dict(type='DenseAlgorithm', backbone=dict(type='DenseViT', **settings)))).pretty_text
    state = {f'backbone.{key}': value for key, value in vit.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=config)), path)
    return vit, str(path)


@torch.no_grad()
def difference(first, second, height: int = 64, width: int = 64) -> float:
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    expected = first(images)
    expected = expected[0] if isinstance(expected, tuple) else expected
    return float((second(images)[0] - expected).abs().max() / expected.abs().max())


def opened(path) -> DenseViT:
    return evaluated(open_network(str(path)).model.backbone)


@pytest.mark.parametrize('settings', [PLAIN, DINOV3, QUICK, LONG], ids=['heads', 'rope base', 'QuickGELU', 'long grid'])
def test_a_converted_run_keeps_the_properties_that_its_tensors_do_not_hold(settings, tmp_path):
    vit, path = run_of(settings, tmp_path / 'run.pth')
    convert([path, '--to', 'mmdecouple', '--out', str(tmp_path)])
    size = (64, 256) if settings is LONG else (64, 96)
    assert difference(vit, opened(tmp_path / 'checkpoint.pth'), *size) < 1e-6


def test_a_file_of_other_heads_base_or_activation_is_refused_wherever_it_is_loaded(tmp_path):
    for settings, other, key in (
        (PLAIN, dict(PLAIN, arch=dict(SIZES, num_heads=3)), r'arch.num_heads=6 \(not 3\)'),
        (DINOV3, dict(DINOV3, rope=dict(base=100.0)), r'rope.base=1000.0 \(not 100.0\)'),
        (QUICK, PLAIN, r"layer_cfgs.act_cfg.type='QuickGELU' \(not 'GELU'\)"),
    ):
        vit, path = run_of(settings, tmp_path / 'run.pth')
        same, wrong = torch.nn.Module(), torch.nn.Module()
        same.backbone, wrong.backbone = DenseViT(**settings), DenseViT(**other)
        load_weights(same, read_weights(path), path)
        assert difference(vit, evaluated(same.backbone)) == 0
        with pytest.raises(UserError, match=key):
            load_weights(wrong, read_weights(path), path)
        with pytest.raises(UserError, match=key):
            wrong.backbone.load_file(path, 'model.backbone.weights')
        with pytest.raises(UserError, match=key):
            PretrainedBackbone(path).check(wrong)


def test_positions_of_a_grid_that_is_not_square_return_and_are_resized_from_their_grid(tmp_path):
    vit, path = run_of(LONG, tmp_path / 'run.pth')
    same, square = DenseViT(**LONG), DenseViT(**dict(PLAIN, img_size=128))
    for other in (same, square):
        other.load_file(path, 'model.backbone.weights')
    assert torch.equal(same.pos_embed, vit.pos_embed)
    torch.testing.assert_close(square.pos_embed, vit.resized_positions(vit.pos_embed, (4, 16), (8, 8)))
    model = torch.nn.Module()
    model.backbone = square
    with pytest.raises(UserError, match='img_size'):
        load_weights(model, read_weights(path), path)
    _, rows = PretrainedBackbone(path).check(model)
    (row,) = (row for row in rows if row.target == 'backbone.pos_embed')
    assert row.status == 'resized'
    torch.testing.assert_close(row.value, square.pos_embed)
    bare = DenseViT(**dict(PLAIN, img_size=(64, 128)))
    torch.save(dict(state_dict=bare.state_dict()), tmp_path / 'bare.pth')
    with pytest.raises(UserError, match='the file states no grid'):
        opened(tmp_path / 'bare.pth')


@pytest.mark.parametrize('settings', [PLAIN, DINOV3, LONG], ids=['heads', 'rope base', 'long grid'])
@pytest.mark.parametrize('format', ['timm', 'huggingface'])
def test_a_folder_of_the_hub_is_read_with_its_config(settings, format, tmp_path):
    vit, path = run_of(settings, tmp_path / 'run.pth')
    # A run folder would be opened with its own config.
    convert([path, '--to', 'mmdecouple', '--out', str(tmp_path)])
    convert([str(tmp_path / 'checkpoint.pth'), '--to', format, '--out', str(tmp_path / 'hub')])
    size = (64, 256) if settings is LONG else (64, 64)
    assert difference(vit, opened(tmp_path / 'hub/model.safetensors'), *size) < 1e-5
    (tmp_path / 'hub/config.json').write_text('{"num_attention_heads":')
    with pytest.raises(UserError, match='config.json.*cannot be read'):
        opened(tmp_path / 'hub/model.safetensors')


def test_moco_v3_has_twelve_heads_at_every_width(tmp_path):
    theirs = randomized(timm.create_model('vit_small_patch16_224', num_classes=0, depth=2, num_heads=12, img_size=64))
    state = {
        f'module.{name}.{key}': value
        for name in ('base_encoder', 'momentum_encoder')
        for key, value in theirs.state_dict().items()
    }
    torch.save(dict(state_dict=state, arch='vit_small'), tmp_path / 'vit-s-300ep.pth.tar')
    assert difference(theirs.forward_features, opened(tmp_path / 'vit-s-300ep.pth.tar')) < 1e-5


@pytest.mark.parametrize('name', ['vit_base_patch16_clip_quickgelu_224', 'vit_base_patch16_clip_224'])
def test_clip_with_the_names_of_timm_needs_its_config(name, tmp_path):
    theirs = randomized(timm.create_model(name, num_classes=0, depth=2, embed_dim=192, num_heads=3, img_size=64))
    save_file(theirs.state_dict(), tmp_path / 'model.safetensors')
    with pytest.raises(UserError, match='does not state the activation'):
        opened(tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text(json.dumps(dict(architecture=name)))
    found = open_network(str(tmp_path / 'model.safetensors')).model
    assert difference(theirs.forward_features, evaluated(found.backbone)) < 1e-5
    assert found.data_preprocessor.mean.flatten().tolist() == pytest.approx([122.7709383, 116.7460125, 104.09373615])


@pytest.mark.parametrize('activation', ['gelu', 'quick_gelu'])
def test_the_activation_of_hugging_face_s_clip_is_that_of_its_config(activation, tmp_path):
    config = transformers.CLIPVisionConfig(
        hidden_size=192, intermediate_size=768, num_hidden_layers=2, num_attention_heads=6, image_size=64,
        patch_size=16, hidden_act=activation,
    )  # fmt: skip
    theirs = randomized(transformers.CLIPVisionModel(config))
    state = {
        f'vision_model.{key.removeprefix("vision_model.")}': value.contiguous()
        for key, value in theirs.state_dict().items()
    }
    save_file(state, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text(json.dumps(config.to_dict()))
    # The pooled token is the only one that transformers normalizes.
    ours, images = opened(tmp_path / 'model.safetensors'), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(images).pooler_output
        torch.testing.assert_close(ours(images)[0][:, 0], expected, rtol=1e-4, atol=1e-4)


def test_biases_of_rotary_keys_are_kept_or_refused(tmp_path):
    settings = dict(DINOV3, key_bias=True)
    vit, path = run_of(settings, tmp_path / 'run.pth')
    convert([path, '--to', 'mmdecouple', '--out', str(tmp_path)])
    assert difference(vit, opened(tmp_path / 'checkpoint.pth')) < 1e-6
    with pytest.raises(UserError, match=r'key_bias=True \(not False\)'):
        DenseViT(**DINOV3).load_file(path, 'model.backbone.weights')
    for lacking, key in ((DINOV3, 'key_bias'), (dict(settings, qkv_bias=False), 'qkv_bias')):
        model = torch.nn.Module()
        model.backbone = DenseViT(**lacking)
        with pytest.raises(UserError, match=rf'{key}=True \(not False\)'):
            PretrainedBackbone(path).check(model)
    for format in ('dinov3', 'huggingface', 'timm'):
        with pytest.raises(UserError, match='biases of keys'):
            converted(read_weights(path), format)


def test_missing_biases_of_queries_and_values_are_zero(tmp_path):
    # timm's default DINOv3 has none; the published networks have biases of zero.
    settings = dict(DINOV3, rope=dict(base=100.0), qkv_bias=False)
    theirs, _ = run_of(settings, tmp_path / 'run.pth')
    torch.save(theirs.state_dict(), tmp_path / 'bare.pth')
    model = torch.nn.Module()
    model.backbone = DenseViT(**dict(settings, qkv_bias=True))
    model.backbone.load_file(str(tmp_path / 'bare.pth'), 'model.backbone.weights')
    assert difference(theirs, evaluated(model.backbone)) == 0
    _, rows = PretrainedBackbone(str(tmp_path / 'bare.pth')).check(model)
    assert all(row.accepted for row in rows)
    plain = dict(PLAIN, qkv_bias=False)
    _, path = run_of(plain, tmp_path / 'plain.pth')
    model.backbone = DenseViT(**plain)
    _, rows = PretrainedBackbone(path).check(model)
    assert all(row.accepted for row in rows)


def test_a_norm_before_the_blocks_is_refused_by_a_backbone_that_lacks_it(tmp_path):
    _, path = run_of(dict(PLAIN, pre_norm=True), tmp_path / 'run.pth')
    model = torch.nn.Module()
    model.backbone = DenseViT(**dict(PLAIN, pre_norm=True))
    _, rows = PretrainedBackbone(path).check(model)
    assert all(row.accepted for row in rows)
    model.backbone = DenseViT(**PLAIN)
    with pytest.raises(UserError, match=r'pre_norm=True \(not False\)'):
        PretrainedBackbone(path).check(model)


def test_incomplete_or_unsupported_blocks_are_refused(tmp_path):
    scaled = network(dict(PLAIN, layer_scale_init_value=1e-5)).state_dict()
    torch.save({key: value for key, value in scaled.items() if 'gamma2' not in key}, tmp_path / 'half.pth')
    with pytest.raises(UserError, match='lacks layers.0.ffn.gamma2.weight'):
        opened(tmp_path / 'half.pth')
    gated = network(dict(PLAIN, layer_cfgs=dict(ffn_type='swiglu_fused'))).state_dict()
    odd = {
        key: torch.cat([half[:500] for half in value.chunk(2)]) if 'w12' in key
        else value[:, :500] if key.endswith('w3.weight') else value
        for key, value in gated.items()
    }  # fmt: skip
    torch.save(odd, tmp_path / 'odd.pth')
    with pytest.raises(UserError, match='SwiGLU with 500 hidden channels'):
        opened(tmp_path / 'odd.pth')
    whole = {key: value.round().to(torch.int8) for key, value in network(PLAIN).state_dict().items()}
    torch.save(whole, tmp_path / 'whole.pth')
    with pytest.raises(UserError, match='holds int8 values'):
        opened(tmp_path / 'whole.pth')
    stated = dict(state_dict=network(PLAIN).state_dict(), meta=dict(vit=dict(num_heads='all')))
    torch.save(stated, tmp_path / 'stated.pth')
    with pytest.raises(UserError, match="the num_heads of a ViT cannot be 'all'"):
        opened(tmp_path / 'stated.pth')
