"""A mistake ends the command with one line that names it."""

import json

import numpy as np
import pytest
from PIL import Image

from mmdecouple.commands import card

from .toys import write_camvid

NETWORK = ('timm:test_vit2', '--names', 'vit')


def line_of(capsys, *words) -> str:
    """The only line of an error that the command ends with."""
    with pytest.raises(SystemExit) as end:
        card.main([str(word) for word in words])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 1
    return line


def test_labels_of_another_size_than_their_image(tmp_path, capsys):
    data = write_camvid(tmp_path / 'd', 2)
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(data / 'annotations' / 'test' / '1.png')
    line = line_of(capsys, *NETWORK, '--data', f'camvid:{data}', '--out', tmp_path)
    assert '1.png has 10 x 10 pixels, its image 96 x 64' in line


def test_masks_that_are_all_void(tmp_path, capsys):
    data = write_camvid(tmp_path / 'd', 2, void=True)
    line = line_of(capsys, *NETWORK, '--data', f'camvid:{data}', '--out', tmp_path)
    assert 'none of the 2 training images of camvid-train has a labelled pixel (all are void)' in line


def test_one_image(tmp_path, capsys):
    data = write_camvid(tmp_path / 'd', 1)
    line = line_of(capsys, *NETWORK, '--data', f'camvid:{data}', '--out', tmp_path)
    assert 'camvid-train holds 1 training image; at least two are required' in line
    folder = data / 'images' / 'test'
    assert '1 of 1 images of test can be measured' in line_of(capsys, *NETWORK, '--data', folder, '--out', tmp_path)


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    line = line_of(capsys, *NETWORK, '--data', f'folder:{tmp_path / "empty"}', '--out', tmp_path)
    assert 'empty' in line and 'image' in line


def test_a_limit_of_one(tmp_path, capsys):
    line = line_of(capsys, *NETWORK, '--data', f'folder:{tmp_path}', '--limit', 1, '--out', tmp_path)
    assert '1 image is too few' in line and '(--limit)' in line


def test_a_place_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    line = line_of(capsys, *NETWORK, '--data', 'scenes', '--out', tmp_path / 'file' / 'out')
    assert 'cannot be written' in line and 'is not a folder' in line


def test_two_networks_of_one_name(tmp_path, capsys):
    line = line_of(capsys, 'timm:test_vit2', 'timm:test_vit2', '--data', 'scenes', '--out', tmp_path)
    assert 'Two networks are called test_vit2-untrained; give them different --names' in line


def test_networks_of_different_fixed_sizes(tmp_path, capsys):
    data = write_camvid(tmp_path / 'd', 2)
    line = line_of(capsys, 'timm:test_vit_relpos', 'timm:gmlp_ti16_224', '--data', f'camvid:{data}', '--out', tmp_path)
    assert 'no size of images suits all of test_vit_relpos-untrained, gmlp_ti16_224-untrained' in line
    assert '(448, 224, 160 pixels were tried); write a card for each' in line


@pytest.mark.parametrize('content', ['{', '[]', json.dumps(dict(format='mmdecouple-coupling/1'))])
def test_a_file_in_the_way_that_is_no_card(content, tmp_path, capsys):
    data = write_camvid(tmp_path / 'd', 2)
    (tmp_path / 'vit.json').write_text(content)
    line = line_of(capsys, *NETWORK, '--data', f'camvid:{data}', '--limit', 2, '--out', tmp_path)
    assert 'vit.json is not' in line and '(--out)' in line and (tmp_path / 'vit.json').read_text() == content
