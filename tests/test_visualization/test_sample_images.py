"""Images to look at, from every kind of source."""

import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn

from mmdecouple.visualization.sample_images import normalized, read_sample_images


def test_files_and_folders_come_in_the_order_named_at_one_size(tmp_path):
    (tmp_path / 'more').mkdir()
    for name, color in (('b.png', (255, 0, 0)), ('more/a.png', (0, 255, 0))):
        cv2.imwrite(str(tmp_path / name), np.full((30, 50, 3), color[::-1], np.uint8))
    first, second, third = read_sample_images([tmp_path / 'more', tmp_path], 24)
    assert [first.name, second.name, third.name] == ['a', 'b', 'a']
    assert second.image.shape == (24, 24, 3) and (second.image == (255, 0, 0)).all() and second.points == ()
    assert len(read_sample_images(str(tmp_path), 24, limit=1)) == 1


def test_scenes_and_coco_point_at_an_object(coco128):
    for word in ('scenes', f'coco:{coco128}'):
        found = read_sample_images(word, 64, limit=2)
        assert len({subject.name for subject in found}) == 2
        for subject in found:
            assert subject.image.shape == (64, 64, 3) and subject.image.std() > 10
            ((x, y),) = subject.points
            assert 0 < x < 1 and 0 < y < 1


def test_what_gives_no_image_is_named_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match='file or folder nowhere does not exist; name an image file'):
        read_sample_images('nowhere', 32)
    with pytest.raises(ValueError, match='folder .* holds no image'):
        read_sample_images(tmp_path, 32)
    (tmp_path / 'broken.jpg').write_bytes(b'text')
    with pytest.raises(ValueError, match=r'broken\.jpg cannot be read'):
        read_sample_images(tmp_path, 32)
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(ValueError, match=r'pipe cannot be read \(.* not an ordinary file'):
        read_sample_images(tmp_path / 'pipe', 32)
    with pytest.raises(ValueError, match='gives no image'):
        read_sample_images([], 32)


class Halved(BaseDataPreprocessor):
    """Stands for a network's own normalization."""

    def forward(self, data, training=False):
        return dict(inputs=[image.float() / 2 for image in data['inputs']])


def test_a_network_gets_whole_cells_in_its_own_normalization():
    model = nn.Module()
    model.data_preprocessor = Halved()
    found = normalized(model, [np.full((32, 46, 3), 100, np.uint8)] * 2, cell=14)
    assert found.shape == (2, 3, 28, 42) and torch.equal(found, torch.full_like(found, 50))
