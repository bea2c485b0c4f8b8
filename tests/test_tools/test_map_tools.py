"""The tools that draw LSC and affinity maps, as a user calls them."""

import importlib
import json

import cv2
import numpy as np
import pytest
import torch

from mmdecouple.evaluation.local_consistency import lsc_maps
from mmdecouple.networks.network import open_network
from mmdecouple.visualization.sample_images import normalized, read_sample_images

from .conftest import ROOT

CONFIG = str(ROOT / 'configs' / 'demo' / 'densecl_resnet-demo_scenes.py')
VIT = str(ROOT / 'configs' / 'demo' / 'ibot_vit-demo_scenes.py')


def tool(name):
    """The main function of a command, called with the words of a command line."""
    module = importlib.import_module(f'mmdecouple.commands.{name}')
    return lambda *words: module.main([str(word) for word in words])


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp('photos') / 'photo.png'
    noise = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (90, 70), interpolation=cv2.INTER_CUBIC))
    return path


def test_lsc_maps_and_their_means_are_written_and_kept(tmp_path, capsys):
    words = (
        CONFIG,
        VIT,
        '--names',
        'CNN',
        'ViT',
        '--data',
        'scenes',
        '--limit',
        2,
        '--size',
        48,
        '--window',
        3,
        '--out',
        tmp_path,
    )
    tool('lsc')(*words)
    out = capsys.readouterr().out
    assert '"ViT, image 2 of 2: windows", "done": 36, "total": 36' in out and 'mean LSC' in out
    assert cv2.imread(str(tmp_path / 'lsc.png')).std() > 20
    arrays, told = np.load(tmp_path / 'lsc.npz'), json.loads((tmp_path / 'lsc.json').read_text())
    network, images = open_network(VIT), [subject.image for subject in read_sample_images('scenes', 48, 2)]
    expected = lsc_maps(network.model, normalized(network.model, images), network.cell, window=3)
    np.testing.assert_allclose(arrays['lsc_ViT'], expected, atol=1e-5)
    assert told['lsc']['ViT']['value'] == pytest.approx(expected.mean().item(), abs=1e-5)
    assert told['lsc']['ViT']['count'] == 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'maps').iterdir()}
    tool('lsc')(*words)
    assert 'windows' not in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'maps').iterdir()} == before and len(before) == 4


def test_a_single_image_has_a_mean_and_no_interval(tmp_path, capsys):
    tool('lsc')(VIT, '--data', 'scenes', '--limit', 1, '--size', 48, '--upsample', 48, '--out', tmp_path)
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith('│'))
    _, mean, interval, images = (cell.strip() for cell in row.strip('│').split('│'))
    assert float(mean) and (interval, images) == ('-', '1')


def test_affinity_of_several_points_of_a_file(tmp_path, photo):
    tool('affinity')(
        VIT,
        '--data',
        photo,
        '--size',
        61,
        '--point',
        0.25,
        0.75,
        '--point',
        1,
        0,
        '--scale',
        'per_map',
        '--layer',
        2,
        '--out',
        tmp_path,
    )
    assert cv2.imread(str(tmp_path / 'affinity_per_map.png')).std() > 20
    arrays = np.load(tmp_path / 'affinity.npz')
    (maps,) = (arrays[key] for key in arrays if key.startswith('affinity_'))
    assert maps.shape == (2, 16, 16) and arrays['image_of_point'].tolist() == [0, 0] and arrays['layer'] == '2'
    assert maps[0, 12, 4] == pytest.approx(1, abs=1e-5) and maps[1, 0, 15] == pytest.approx(1, abs=1e-5)
    network, subject = open_network(VIT, layer=2), read_sample_images(photo, 61)[0]
    dense = network.model.dense_features(normalized(network.model, [subject.image], network.cell))
    large = torch.nn.functional.interpolate(dense, scale_factor=2, mode='bilinear')[0].double()
    expected = torch.cosine_similarity(large, large[:, 12, 4, None, None], dim=0)
    np.testing.assert_allclose(maps[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    'name, words, line',
    [
        (
            'lsc',
            (CONFIG, '--data', 'scenes', '--size', 48, '--window', 7),
            'LSC: an image of 48 x 48 pixels is smaller',
        ),
        ('lsc', ('timm:no_such_network', '--data', 'scenes'), 'no_such_network'),
        ('lsc', (CONFIG, VIT, '--data', 'scenes', '--upsample', 7), 'not a multiple of the cells of'),
        ('lsc', (CONFIG, '--data', 'scenes', '--layer', 'layer9'), 'the backbone has no layer layer9; it has layer1, '),
        (
            'affinity',
            (CONFIG, '--data', 'nowhere.jpg'),
            "data 'nowhere.jpg' is neither a file or folder nor one of scenes",
        ),
        ('affinity', (CONFIG, '--data', 'scenes', '--point', 1.5, 0.5), 'points must be shares of width and height'),
    ],
)
def test_a_mistake_ends_in_one_line(name, words, line, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        tool(name)(*words, '--out', tmp_path)
    (told,) = (end.value.code if isinstance(end.value.code, str) else capsys.readouterr().err).strip().splitlines()
    assert line in told and not list(tmp_path.iterdir())
