"""Removal of the place of a patch: what is left of it, what is left of the content, and networks with a projection."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

from mmdecouple.commands import convert, coupling, remove_position
from mmdecouple.evaluation.position_removal import (
    Moments,
    kept_variance,
    place_read,
    predictors,
    read_moments,
    removed_subspaces,
)
from mmdecouple.evaluation.ridge import fit_ridge
from mmdecouple.models import DenseViT
from mmdecouple.networks.network import open_network, untrained_spec, weight_file
from mmdecouple.networks.projected import Projection
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.vit import from_ours

from .toys import ConvModel, toy_probes

CHANNELS, SIDE, IMAGES = 16, 6, 60
PLACES = np.stack(np.divmod(np.arange(SIDE**2), SIDE), 1).astype(float)


@pytest.fixture(scope='module')
def maps():
    """Content in all channels, of strengths between 1 and 2, and its sum with the place along two directions."""
    rng = np.random.default_rng(0)
    content = rng.normal(size=(IMAGES, SIDE**2, CHANNELS)) * np.geomspace(1, 2, CHANNELS)
    shift = (PLACES - PLACES.mean(0)) @ rng.normal(size=(2, CHANNELS)) * 0.5
    return content, (content + shift).transpose(0, 2, 1).reshape(IMAGES, CHANNELS, SIDE, SIDE) + 3.0


def moments_of(maps):
    found = Moments()
    for dense in maps:
        found.add(dense)
    return found


def rows(maps):
    return maps.reshape(len(maps), CHANNELS, -1).transpose(0, 2, 1).reshape(-1, CHANNELS)


def read_again(features, targets):
    """R^2 of a ridge regression of targets on features, fitted on one half and measured on the other."""
    half = len(features) // 2
    cells = np.arange(half)[:, None]
    predicted = fit_ridge(features[:half], targets[:half], cells).predict(features[half:])
    return 1 - np.square(predicted - targets[half:]).sum(0) / np.square(targets[half:] - targets[half:].mean(0)).sum(0)


def test_moments_and_what_follows_from_them_are_those_of_the_cells(maps):
    _, maps = maps
    fit, other = moments_of(maps[:40]), moments_of(maps[40:])
    x, y = rows(maps[:40]), np.tile(PLACES, (40, 1))
    np.testing.assert_allclose(fit.covariance(), np.cov(np.hstack([x, y]).T, bias=True), atol=1e-9)
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(CHANNELS, 3)))[0]
    left = (x - x.mean(0)) @ (np.eye(CHANNELS) - basis @ basis.T)
    penalty = 0.01 * x.var(0).mean() * len(x)
    weights = np.linalg.lstsq(
        np.vstack([left, np.sqrt(penalty) * np.eye(CHANNELS)]),
        np.vstack([y - y.mean(0), np.zeros((CHANNELS, 2))]),
        rcond=None,
    )[0]
    np.testing.assert_allclose(predictors(fit, basis), weights, atol=1e-9)
    x2, y2 = rows(maps[40:]), np.tile(PLACES, (20, 1))
    error = np.square((x2 - x.mean(0)) @ (np.eye(CHANNELS) - basis @ basis.T) @ weights + y.mean(0) - y2).mean(0)
    assert place_read(fit, other, basis) == pytest.approx((1 - error / y2.var(0)).mean(), abs=1e-9)
    assert kept_variance(fit, basis) == pytest.approx(left.var(0).sum() / x.var(0).sum())


def test_an_added_place_cannot_be_read_any_more_and_content_can(maps):
    content, maps = maps
    fit = moments_of(maps)
    bases = removed_subspaces(fit, 4)
    assert [basis.shape for basis in bases] == [(CHANNELS, 2 * number) for number in (1, 2, 3, 4)]
    features, places = rows(maps), np.tile(PLACES, (IMAGES, 1))
    basis, content = bases[2], content.reshape(-1, CHANNELS)
    left = features - features @ basis @ basis.T
    assert read_again(features, places).min() > 0.5 and read_again(left, places).max() < 0.02
    assert np.median(read_again(left, content)) > 0.6


def test_the_removal_is_an_orthogonal_projection_in_float64(maps):
    for basis in removed_subspaces(moments_of(maps[1]), 6):
        projection = np.eye(CHANNELS) - basis @ basis.T
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
        np.testing.assert_allclose(projection @ projection, projection, atol=1e-12)
        np.testing.assert_allclose(projection, projection.T, atol=1e-15)


class Scaling(nn.Module):
    def forward(self, batch):
        return dict(inputs=[image.float() / 255 for image in batch['inputs']])


def test_a_network_is_shown_the_images_of_each_part_once():
    dataset, model = toy_probes(measures=[dict(type='ContextShift')]), ConvModel()
    source, ids = dataset.sources.query, dataset.sources.query.images[:7]
    model.data_preprocessor = Scaling()
    found = read_moments(model, source, (ids[:4], ids[4:]), batch_size=3)
    images = torch.stack([torch.from_numpy(source.pixels(i).copy()).permute(2, 0, 1) / 255 for i in ids])
    with torch.no_grad():
        maps = model.eval().dense_features(images).numpy()
    for moments, expected in zip(found, (moments_of(maps[:4]), moments_of(maps[4:]))):
        assert moments.count == expected.count
        np.testing.assert_allclose(moments.product, expected.product, rtol=1e-4)


@pytest.fixture(scope='module')
def networks(tmp_path_factory):
    """A published ViT of two blocks, and another of the same shape."""
    init_default_scope('mmdecouple')
    folder, files = tmp_path_factory.mktemp('networks'), []
    torch.manual_seed(0)
    for name in ('one', 'two'):
        arch = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=192)
        backbone = DenseViT(arch, img_size=32, patch_size=8, norm_cfg=dict(type='LN', eps=1e-6))
        for parameter in backbone.parameters():
            nn.init.normal_(parameter, std=0.05)
        files.append(str(folder / f'{name}.pth'))
        torch.save(from_ours(backbone.state_dict(), 'dino'), files[-1])
    return files


def test_the_command_writes_a_projection_with_which_every_command_opens_the_network(tmp_path, networks, capsys):
    word, other = networks
    remove_position.main([word, '--data', 'scenes', '--limit', '24', '--size', '48', '--out', str(tmp_path)])
    printed = capsys.readouterr().out
    file = tmp_path / 'projection.pth'
    projected = f'projected:{file}:{word}'
    assert printed.rstrip().endswith(projected) and 'place read from a feature' in printed
    network, plain = open_network(projected), open_network(word)
    basis = Projection.read(str(file)).basis
    assert basis.shape == (192, 6) and network.name == f'{plain.name}-projected' and network.cell == 8
    images = torch.randn(2, 3, 32, 48, device=plain.model.data_preprocessor.device)
    features = plain.model.dense_features(images).double().cpu()
    expected = features - torch.einsum('ck,dk,bdhw->bchw', basis, basis, features)
    torch.testing.assert_close(network.model.dense_features(images).double().cpu(), expected, atol=1e-5, rtol=1e-4)
    assert weight_file(projected) == weight_file(word)
    with pytest.raises(UserError, match='random weights already|untrained'):
        untrained_spec(f'projected:{file}:timm:test_vit')
    out = tmp_path / 'out'
    measures = ['--measures', 'PositionLeak', 'SpuriousShare', '--limit', '12', '--size', '48']
    coupling.main([word, projected, '--names', 'a', 'b', '--data', 'scenes', *measures, '--out', str(out)])
    before, after = (json.loads((out / f'{name}.json').read_text())['metrics'] for name in 'ab')
    assert after['position_leak']['value'] < before['position_leak']['value']
    for spec, line in (
        (f'projected:{file}:{other}', 'was fitted on other weights than those of'),
        (f'projected:{word}:{word}', 'holds no projection'),
        (f'projected:{file}', 'does not have the form projected:FILE:NETWORK'),
        (f'projected:nowhere.pth:{word}', 'nowhere.pth'),
    ):
        with pytest.raises(ValueError, match=line) as caught:
            open_network(spec)
        assert '\n' not in str(caught.value)
    with pytest.raises(ValueError, match='the backbone has no layer 1; it has none that can be named'):
        open_network(projected, layer=1)
    for change, line in (
        (['--iterations', '96'], 'would remove 192 of the 192 directions'),
        (['--out', str(tmp_path / 'a:b')], 'has a colon, which separates file and network'),
    ):
        with pytest.raises(SystemExit):
            remove_position.main(
                [word, '--data', 'scenes', '--limit', '10', '--size', '48', '--out', str(tmp_path / 'x'), *change]
            )
        assert line in capsys.readouterr().err and not (tmp_path / 'x').exists()
    with pytest.raises(SystemExit):
        convert.main([projected, '--to', 'timm', '--out', str(tmp_path / 'timm')])
    assert 'has no place for a projection' in capsys.readouterr().err and not (tmp_path / 'timm').exists()


@pytest.mark.parametrize('change', ['scaled', 'wide', 'vector', 'number', 'key'])
def test_a_damaged_projection_is_one_line(tmp_path, change):
    basis = torch.linalg.qr(torch.randn(8, 2, dtype=torch.float64))[0]
    basis = dict(scaled=basis * 1.1, wide=basis.T.contiguous(), vector=basis[:, 0].clone(), number=3).get(change, basis)
    path = tmp_path / 'projection.pth'
    content = dict(format='mmdecouple-projection/1', basis=basis, weights_sha256='x')
    torch.save({**content, **({'more': 1} if change == 'key' else {})}, path)
    with pytest.raises(UserError, match='is damaged') as caught:
        Projection.read(str(path))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('layer', ['1', pytest.param(None, marks=pytest.mark.slow)])
def test_an_onnx_file_holds_the_projection(tmp_path, networks, layer):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    options = [] if layer is None else ['--layer', layer]
    common = ['--data', 'scenes', '--limit', '12', '--size', '48', '--iterations', '1', '--out', str(tmp_path)]
    remove_position.main([networks[0], *common, *options])
    projected = f'projected:{tmp_path / "projection.pth"}:{networks[0]}'
    convert.main([projected, '--to', 'onnx', '--out', str(tmp_path / 'onnx')])
    session = onnxruntime.InferenceSession(str(tmp_path / 'onnx' / 'model.onnx'))
    images = np.random.default_rng(0).random((1, 3, 40, 32), dtype=np.float32)
    (found,) = session.run(None, dict(images=images))
    network = open_network(projected)
    batch = dict(inputs=[torch.from_numpy(images[0] * 255)])
    shown = network.model.data_preprocessor(batch)['inputs'][0][None]
    np.testing.assert_allclose(found, network.model.dense_features(shown).cpu().numpy(), atol=1e-3, rtol=1e-3)
