"""Images to look at, from every kind of source."""

import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from rich.console import Console
from torch import nn

from mmdecouple.datasets.pack_writing import Storage
from mmdecouple.datasets.resizing import resize
from mmdecouple.runs.packing import Packing, list_source
from mmdecouple.utils.data_spec import read_spec
from mmdecouple.visualization.sample_images import normalized, read_sample_images


def test_files_and_folders_come_in_the_order_named_at_one_size(tmp_path):
    (tmp_path / 'more').mkdir()
    for name, color in (('b.png', (255, 0, 0)), ('more/a.png', (0, 255, 0))):
        cv2.imwrite(str(tmp_path / name), np.full((30, 50, 3), color[::-1], np.uint8))
    first, second, third = read_sample_images([tmp_path / 'more', tmp_path], 24)
    assert [first.name, second.name, third.name] == ['a', 'b', 'a']
    assert second.image.shape == (24, 24, 3) and (second.image == (255, 0, 0)).all() and second.points == ()
    assert second.boxes == () and second.original().shape == (30, 50, 3)
    assert len(read_sample_images(str(tmp_path), 24, limit=1)) == 1


def test_scenes_and_coco_point_at_an_object(coco128):
    for word in ('scenes', f'coco128:{coco128}'):
        found = read_sample_images(word, 64, limit=2)
        assert len({subject.name for subject in found}) == 2
        for subject in found:
            assert subject.image.shape == (64, 64, 3) and subject.image.std() > 10
            ((x, y),) = subject.points
            assert 0 < x < 1 and 0 < y < 1
            boxes = np.array(subject.boxes)
            assert boxes.min() >= 0 and boxes.max() <= 1
            areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
            assert areas.min() > 0 and (np.diff(areas) <= 0).all()
            original = subject.original()
            assert original.shape[0] >= 64
            np.testing.assert_array_equal(resize(original, (64, 64)), subject.image)


def test_what_gives_no_image_is_named_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match='file or folder absent does not exist'):
        read_sample_images('folder:absent', 32)
    with pytest.raises(ValueError, match="data 'nowhere' is neither a file or folder nor one of scenes"):
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


def test_images_of_a_list_and_of_a_pack_are_those_of_the_files(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name in 'abc':
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{name}.png'), pixels)
    (tmp_path / 'list.txt').write_text('c.png\na.png\n')
    assert Packing(tmp_path / 'pack', *list_source(read_spec(str(folder))), Storage(), 1 << 20).run(1, Console()) == []
    plain = {subject.name: subject.image for subject in read_sample_images(folder, 16)}
    for word, names in ((f'list:{tmp_path / "list.txt"}:{folder}', 'ca'), (f'pack:{tmp_path / "pack"}', 'abc')):
        found = read_sample_images(word, 16)
        assert [subject.name for subject in found] == [*names]
        assert all((subject.image == plain[subject.name]).all() for subject in found)


class Halved(BaseDataPreprocessor):
    """Stands for a network's own normalization."""

    def forward(self, data, training=False):
        return dict(inputs=[image.float() / 2 for image in data['inputs']])


def test_a_network_gets_whole_cells_in_its_own_normalization():
    model = nn.Module()
    model.data_preprocessor = Halved()
    found = normalized(model, [np.full((32, 46, 3), 100, np.uint8)] * 2, cell=14)
    assert found.shape == (2, 3, 28, 42) and torch.equal(found, torch.full_like(found, 50))
