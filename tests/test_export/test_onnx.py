"""ONNX files against torch, at sizes that were not traced."""

import sys

import numpy as np
import pytest
import torch

from mmdecouple.commands.convert import main
from mmdecouple.networks.network import open_network

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')


SOCO = """
norm = dict(type='BN')
mlp = dict(
    type='mmpretrain.NonLinearNeck', hid_channels=6, out_channels=5, with_avg_pool=False, norm_cfg=dict(type='BN1d'))
model = dict(
    type='SoCoFPN',
    predictor=dict(in_channels=5, **mlp),
    backbone=dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2, 3), norm_cfg=norm),
    neck=dict(
        type='RegionPyramid', in_channels=[64, 128, 256, 512], channels=4, fc_channels=7, norm_cfg=norm,
        projector=dict(in_channels=7, **mlp)))
"""


def session(spec, folder, *words):
    main([str(spec), '--to', 'onnx', '--out', str(folder), *words])
    return onnxruntime.InferenceSession(str(folder / 'model.onnx'), providers=['CPUExecutionProvider'])


def normalized(images):
    """As the preprocessor does for images in [0, 255]."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    return (255 * images - mean) / std


def test_a_vit_gives_torchs_tokens_for_any_batch_and_size(ibot, tmp_path):
    found = session(ibot, tmp_path / 'out')
    network = open_network(str(ibot)).model
    for shape in ((1, 3, 64, 64), (3, 3, 32, 160), (2, 3, 112, 80)):
        images = torch.rand(shape)
        token, patches = found.run(['class_token', 'patches'], {'images': images.numpy()})
        for values, class_token in ((patches, False), (token[..., None, None], True)):
            expected = network.dense_features(normalized(images), class_token=class_token).numpy()
            np.testing.assert_allclose(values, expected, atol=1e-4, rtol=0)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.Fail, match='100'):
        found.run(None, {'images': np.zeros((1, 3, 96, 100), np.float32)})
    facts = found.get_modelmeta().custom_metadata_map
    assert facts['mean'] == '0.485, 0.456, 0.406' and facts['std'] == '0.229, 0.224, 0.225'
    assert facts['size_multiple'] == '16' and 'RGB' in facts['input'] and '[0, 1]' in facts['input']
    assert facts['method'] == 'IBOT' and facts['network'] == 'teacher' and facts['iterations'] == '99'


@pytest.mark.slow
def test_a_resnet_with_a_pyramid_gives_torchs_maps_for_any_size(tmp_path):
    (tmp_path / 'soco.py').write_text(SOCO)
    spec = str(tmp_path / 'soco.py')
    found = session(spec, tmp_path / 'out')
    names = [output.name for output in found.get_outputs()]
    assert names == ['c2', 'c3', 'c4', 'c5', 'p2', 'p3', 'p4', 'p5']
    model = open_network(spec, measured='student').model
    for shape in ((1, 3, 64, 64), (2, 3, 75, 107)):
        images = torch.rand(shape)
        with torch.no_grad():
            maps = model.backbone(normalized(images))
            pyramid = model.neck.pyramid(dict(enumerate(maps)))
        for values, expected in zip(found.run(None, {'images': images.numpy()}), (*maps, *pyramid.values())):
            np.testing.assert_allclose(
                values, expected.numpy(), atol=1e-4 * max(1, float(expected.abs().max())), rtol=0
            )


@pytest.mark.slow
def test_a_vit_of_timm_resamples_its_positions_in_the_graph(tmp_path):
    found = session('timm:vit_tiny_patch16_224', tmp_path / 'out')
    network = open_network('timm:vit_tiny_patch16_224').model
    images = torch.rand(1, 3, 96, 160)
    mean = std = torch.tensor([127.5] * 3).view(3, 1, 1)
    expected = network.dense_features((255 * images - mean) / std)
    np.testing.assert_allclose(found.run(['patches'], {'images': images.numpy()})[0], expected, atol=1e-4, rtol=0)


def test_a_missing_package_is_one_line_that_installs_it(ibot, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(SystemExit):
        main([str(ibot), '--to', 'onnx', '--out', str(tmp_path / 'out')])
    error = capsys.readouterr().err
    assert 'pip install onnx onnxruntime onnxscript' in error and len(error.splitlines()) == 1
    assert not (tmp_path / 'out').exists()
