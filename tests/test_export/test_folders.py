"""Folders of transformers and timm, and entry points of torch.hub: they give the features of this package."""

import json

import numpy as np
import pytest
import timm
import torch

from mmdecouple.commands.convert import main
from mmdecouple.export.features import Features
from mmdecouple.networks.network import open_network
from tests.conftest import ROOT

MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
RESNET = 'mmdecouple::densecl/densecl_r50_8xb32-200e_coco.py'


def features(spec, role) -> Features:
    return Features(open_network(str(spec), measured=role))


@torch.no_grad()
def test_timm_loads_its_folder_and_gives_the_same_tokens(ibot, tmp_path):
    main([str(ibot), '--to', 'timm', '--out', str(tmp_path / 'out')])
    model = timm.create_model(f'local-dir:{tmp_path}/out', pretrained=True).eval()
    config = timm.data.resolve_model_data_config(model)
    assert tuple(config['mean']) == (0.485, 0.456, 0.406) and tuple(config['std']) == (0.229, 0.224, 0.225)
    images = torch.rand(2, 3, 64, 64)
    expected = features(ibot, 'teacher')(images)['class_token']
    torch.testing.assert_close(model((images - MEAN) / STD), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_transformers_loads_a_vit_and_gives_the_same_tokens_at_any_size(ibot, tmp_path):
    transformers = pytest.importorskip('transformers')
    main([str(ibot), '--to', 'huggingface', '--out', str(tmp_path / 'out'), '--role', 'student'])
    model, loaded = transformers.ViTModel.from_pretrained(
        str(tmp_path / 'out'), add_pooling_layer=False, output_loading_info=True
    )
    assert not any(loaded.values()), loaded
    for size in ((64, 64), (96, 32)):
        images = torch.rand(2, 3, *size)
        tokens = model.eval()((images - MEAN) / STD, interpolate_pos_encoding=True).last_hidden_state
        expected = features(ibot, 'student')(images)
        torch.testing.assert_close(tokens[:, 0], expected['class_token'], atol=1e-5, rtol=1e-5)
        patches = tokens[:, 1:].transpose(1, 2).reshape(expected['patches'].shape)
        torch.testing.assert_close(patches, expected['patches'], atol=1e-5, rtol=1e-5)
    processor = transformers.AutoImageProcessor.from_pretrained(str(tmp_path / 'out'))
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pixels = processor(picture, return_tensors='pt')['pixel_values'][0]
    expected = (torch.from_numpy(picture).permute(2, 0, 1) / 255 - MEAN) / STD
    torch.testing.assert_close(pixels, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_a_resnet_gives_the_same_maps_in_transformers_and_timm(tmp_path):
    images = torch.rand(1, 3, 96, 64)
    expected = features(RESNET, 'student')(images)['c5']
    # Random weights without training give large features.
    near = dict(atol=1e-6 * float(expected.abs().max()), rtol=1e-5)
    main([RESNET, '--to', 'timm', '--out', str(tmp_path / 'timm')])
    model = timm.create_model(f'local-dir:{tmp_path}/timm', pretrained=True).eval()
    torch.testing.assert_close(model.forward_features((images - MEAN) / STD), expected, **near)
    transformers = pytest.importorskip('transformers')
    main([RESNET, '--to', 'huggingface', '--out', str(tmp_path / 'hf')])
    for kind, folder in ((transformers.ResNetModel, 'hf'), (transformers.AutoModel, 'timm')):
        model, loaded = kind.from_pretrained(str(tmp_path / folder), output_loading_info=True)
        assert not any(loaded.values()), loaded
        found = model.eval()((images - MEAN) / STD).last_hidden_state
        torch.testing.assert_close(found, expected, **near)


def test_the_card_and_the_config_state_what_the_file_records_and_nothing_else(ibot, tmp_path):
    main([str(ibot), '--to', 'huggingface', '--out', str(tmp_path / 'out')])
    card = (tmp_path / 'out' / 'README.md').read_text()
    rows = dict(line.strip('| ').split(' | ') for line in card.splitlines() if line.startswith('| '))
    wanted = dict(method='IBOT', network='teacher', config='ibot_small', epochs='3', iterations='99', images='117266')
    assert {key: rows[key] for key in wanted} == wanted
    assert rows['data'].startswith('ImageDataset 000000000009.jpg') and len(rows['sha256 of the weights']) == 64
    assert 'license:' not in card.split('---')[1] and 'torch' not in rows, 'neither is recorded'
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    assert config['num_attention_heads'] == 4 and config['layer_norm_eps'] == 1e-6 and config['image_size'] == [64, 64]


@torch.no_grad()
def test_torch_hub_gives_the_backbone_of_a_checkpoint_and_refuses_another_architecture(ibot):
    found = torch.hub.load(str(ROOT), 'backbone', weights=str(ibot), source='local')
    images = torch.rand(2, 3, 48, 64)
    expected = features(ibot, 'teacher')(images)
    assert all(torch.equal(value, expected[name]) for name, value in found(images).items())
    assert all(value.requires_grad for value in found.backbone.parameters())
    untrained = torch.hub.load(str(ROOT), 'resnet18', source='local')
    assert [value.shape[1] for value in untrained(images).values()] == [64, 128, 256, 512]
    with pytest.raises(ValueError, match='another architecture than vit_tiny_patch16'):
        torch.hub.load(str(ROOT), 'vit_tiny_patch16', weights=str(ibot), source='local')
