"""Proposal files, SoCo's JSON files, and the transforms that give an image its proposals."""

import json
import os
import re

import numpy as np
import pytest
import torch

from mmdecouple.datasets.proposals import ProposalFile, write_proposals
from mmdecouple.datasets.soco_proposals import read_soco_json
from mmdecouple.datasets.transforms import GridProposals, LoadProposals
from mmdecouple.utils.errors import UserError

NAMES, SIZES = ['a/1.jpg', 'b/1.jpg', 'c.jpg'], [(60, 80), (50, 40), (30, 30)]
BOXES = [[(0, 0, 80, 60), (5, 6, 7, 8)], [], [(1, 2, 30, 30)]]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'sub' / 'proposals.npz'
    write_proposals(path, NAMES, SIZES, BOXES, 'toys', dict(scale=300))
    return path


def test_what_is_written_is_read(file):
    proposals = ProposalFile.open(file)
    assert proposals.header['dataset'] == 'toys' and proposals.header['parameters'] == dict(scale=300)
    assert proposals.all_boxes.dtype == np.uint16
    for name, size, boxes in zip(NAMES, SIZES, BOXES):
        found = proposals.boxes(f'/data/toys/{name}', size)
        assert found.dtype == np.float32 and found.shape == (len(boxes), 4)
        assert found.tolist() == [list(box) for box in boxes]


def test_equal_proposals_give_equal_bytes(file, tmp_path):
    write_proposals(tmp_path / 'again.npz', NAMES, SIZES, BOXES, 'toys', dict(scale=300))
    assert file.read_bytes() == (tmp_path / 'again.npz').read_bytes()
    assert sorted(path.name for path in file.parent.iterdir()) == ['proposals.npz']


def test_boxes_outside_their_image_are_clipped_or_dropped_and_counted(tmp_path):
    boxes = [[(-5, 10, 20, 99), (80, 0, 90, 10), (3, 3, 3, 9)], [], [(0, 0, 30, 30)]]
    header = write_proposals(tmp_path / 'p.npz', NAMES, SIZES, boxes, 'toys', {})
    assert (header['clipped'], header['dropped']) == (1, 2)
    proposals = ProposalFile.open(tmp_path / 'p.npz')
    assert proposals.boxes('a/1.jpg').tolist() == [[0, 10, 20, 60]]
    assert proposals.boxes('c.jpg').tolist() == [[0, 0, 30, 30]]


def test_images_too_large_for_uint16_keep_their_boxes(tmp_path):
    write_proposals(tmp_path / 'p.npz', ['wide'], [(10, 70_000)], [[(66_000, 1, 69_999, 9)]], 'maps', {})
    assert ProposalFile.open(tmp_path / 'p.npz').boxes('wide').tolist() == [[66_000, 1, 69_999, 9]]


def one_line(call, *words):
    with pytest.raises((ValueError, FileNotFoundError)) as info:
        call()
    message = str(info.value)
    assert '\n' not in message
    for word in words:
        assert word in message
    return message


def test_a_wrong_file_or_image_gives_one_line_that_says_what_to_do(file, tmp_path):
    one_line(lambda: ProposalFile.open('absent.npz'), 'absent.npz', '`mmdecouple proposals`', 'GridProposals')
    other = tmp_path / 'other.npz'
    other.write_text('{"a": []}')
    one_line(lambda: ProposalFile.open(other), 'is not a proposal file', '--import')
    np.savez(other, boxes=np.zeros(3))
    one_line(lambda: ProposalFile.open(other), 'is not a proposal file', 'header')
    np.savez(other, header=np.array([{}], dtype=object))
    one_line(lambda: ProposalFile.open(other), 'is not a proposal file')
    proposals = ProposalFile.open(file)
    one_line(lambda: proposals.boxes('/data/d.jpg'), "'/data/d.jpg'", "data set 'toys'", '3 images')
    one_line(lambda: proposals.boxes('c.jpg', (30, 40)), '30 x 40', '30 x 30', "'toys'")
    one_line(lambda: write_proposals(other, ['a', 'a'], SIZES[:2], [[], []], 'x', {}), "'a'")


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(boxes=[[0, 0, 80, 60], [5, 6, 7, 8], [1, 2, 31, 30]]), ['box 2', "'c.jpg'", '30 x 30']),
        (dict(boxes=[[0, 0, 80, 60], [5, 6, 5, 8], [1, 2, 30, 30]]), ['box 1', "'a/1.jpg'"]),
        (dict(offsets=[0, 2, 2, 4]), ['do not fit together']),
        (dict(offsets=[0, 2, 1, 3]), ['do not fit together']),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(change, words, file):
    with np.load(file) as arrays:
        content = {key: arrays[key] for key in arrays}
    content.update({key: np.array(value, content[key].dtype) for key, value in change.items()})
    np.savez(file, **content)
    one_line(lambda: ProposalFile.open(file), *words)


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(offsets=np.array([0, 2, 1, 3], np.uint64)), ['do not fit together']),
        (dict(offsets=np.array([0, 2, 2, 3], np.float64)), ['not a proposal file', 'offsets contains float64']),
        (dict(boxes=np.full((3, 4), np.nan)), ['not a proposal file', 'boxes contains float64']),
        (dict(names=np.frombuffer(b'c.jpg\0c.jpg\0c.jpg', np.uint8)), ['lists an image twice']),
        (dict(header=np.frombuffer(b'[]', np.uint8)), ['not a proposal file']),
    ],
)
def test_arrays_of_another_kind_are_refused(change, words, file):
    with np.load(file) as arrays:
        content = {**{key: arrays[key] for key in arrays}, **change}
    np.savez(file, **content)
    one_line(lambda: ProposalFile.open(file), *words)


def test_changed_bytes_and_what_is_no_file_are_one_line_or_the_same_boxes(file, tmp_path):
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    expected = ProposalFile.open(file).all_boxes
    for _ in range(500):
        changed = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        file.write_bytes(changed[: rng.integers(1, len(whole))] if rng.random() < 0.2 else changed)
        try:
            assert np.array_equal(ProposalFile.open(file).all_boxes, expected)
        except UserError as error:
            assert '\n' not in str(error)
    os.mkfifo(tmp_path / 'pipe.npz')
    one_line(lambda: ProposalFile.open(tmp_path / 'pipe.npz'), 'not an ordinary file')


def test_a_newer_version_is_refused(file):
    with np.load(file) as arrays:
        content = {key: arrays[key] for key in arrays}
    header = json.loads(content['header'].tobytes())
    content['header'] = np.frombuffer(json.dumps(dict(header, version=2)).encode(), np.uint8)
    np.savez(file, **content)
    one_line(lambda: ProposalFile.open(file), 'version 2', 'version 1')


def test_soco_boxes_show_the_pixels_that_soco_shows(tmp_path):
    path = tmp_path / 'soco.json'
    path.write_text(json.dumps({'1': [[10, 20, 5, 6], [0, 0, 40, 50, 0.9]], 'c': [], 'unused': [[1, 1, 1, 1]]}))
    boxes = read_soco_json(path, ['b/1.jpg', 'c.jpg'])
    # x, y, w, h with x2 = x + w - 1, the last pixel shown.
    shown = np.zeros((60, 60), bool)
    shown[20 : 20 + 6, 10 : 10 + 5] = True
    ours = np.zeros((60, 60), bool)
    x1, y1, x2, y2 = boxes[0][0]
    ours[y1:y2, x1:x2] = True
    assert (ours == shown).all()
    assert boxes[0][1].tolist() == [0, 0, 40, 50] and boxes[1].shape == (0, 4)


@pytest.mark.parametrize(
    'text, words',
    [
        ('no json', ['not a JSON object']),
        ('[[1, 2, 3, 4]]', ['not a JSON object']),
        ('{"c": []}', ['1 of the 2 images', "'b/1.jpg'"]),
        ('{"1": [{"bbox": [1, 2, 3, 4]}], "c": []}', ["entry '1'", 'bbox']),
        ('{"1": [[1, 2, 3]], "c": []}', ["entry '1'"]),
        ('{"1": [[1, 2, 3, 1e300]], "c": []}', ["entry '1'"]),
        ('{"1": [[1, 2, 3, NaN]], "c": []}', ['not a JSON object']),
        ('{"1": ' + '[' * 10**5, ['not a JSON object']),
    ],
)
def test_a_json_of_another_layout_gives_one_line(text, words, tmp_path):
    path = tmp_path / 'soco.json'
    path.write_text(text)
    one_line(lambda: read_soco_json(path, ['b/1.jpg', 'c.jpg']), str(path), *words)


def test_the_pipeline_step_finds_the_boxes_of_the_image_at_hand(file):
    step = LoadProposals(str(file))
    results = step(dict(img_path='/somewhere/a/1.jpg', ori_shape=(60, 80)))
    assert results['proposals'].tolist() == [[0, 0, 80, 60], [5, 6, 7, 8]]
    one_line(lambda: step(dict(img_path='/somewhere/a/1.jpg', ori_shape=(60, 81))), "'toys'")


@pytest.mark.parametrize('num', [4, 9, 20])
def test_grid_proposals_lie_in_the_image_around_their_cells(num):
    torch.manual_seed(0)
    step = GridProposals(num=num)
    centers = []
    for _ in range(50):
        boxes = step(dict(ori_shape=(90, 150)))['proposals']
        assert boxes.shape == (num, 4) and boxes.dtype == np.float32
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [150, 90]).all()
        share = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (90 * 150)
        assert share.max() <= 0.4 + 1e-5
        centers.append((boxes[:, :2] + boxes[:, 2:]) / 2 / [150, 90])
    places = np.concatenate(centers) // (1 / 3)
    # Whatever the number, all nine cells are used about equally; clipping moves some centers.
    counts = np.bincount((places[:, 0] * 3 + places[:, 1]).astype(int), minlength=9) / len(places)
    assert counts.min() > 0.04 and counts.max() < 0.25


@pytest.mark.parametrize(
    'settings, area, aspect',
    [
        (dict(), (0.15, 0.4), (0.5, 2)),
        (dict(grid=2, area=(0.02, 0.05), aspect=(0.8, 1.25), num=8), (0.02, 0.05), (0.8, 1.25)),
    ],
)
def test_grid_proposals_fill_their_ranges_of_area_and_aspect(settings, area, aspect):
    torch.manual_seed(0)
    step, found = GridProposals(**settings), []
    for _ in range(300):
        boxes = step(dict(ori_shape=(90, 150)))['proposals']
        whole = ((boxes[:, :2] > 0) & (boxes[:, 2:] < [150, 90])).all(1)
        found.append(boxes[whole, 2:] - boxes[whole, :2])
    width, height = np.concatenate(found).T
    for values, (low, high) in ((width * height / (90 * 150), area), (width / height, aspect)):
        assert values.min() == pytest.approx(low, rel=0.05) and values.max() == pytest.approx(high, rel=0.1)
        assert values.min() >= low * (1 - 1e-5) and values.max() <= high * (1 + 1e-5)


@pytest.mark.parametrize('grid, num', [(2, 6), (3, 9), (1, 3)])
def test_every_whole_grid_gives_a_box_to_each_of_its_cells(grid, num):
    torch.manual_seed(0)
    boxes = GridProposals(grid=grid, num=num, area=(1e-4, 2e-4))(dict(ori_shape=(60, 60)))['proposals']
    columns, rows = ((boxes[:, :2] + boxes[:, 2:]) / 2 // (60 / grid)).T
    cells = np.bincount((rows * grid + columns).astype(int), minlength=grid**2)
    assert len(boxes) == num and cells.min() == num // grid**2 and cells.max() == -(-num // grid**2)


@pytest.mark.parametrize(
    'setting, word',
    [(dict(num=0), 'num'), (dict(grid=0), 'grid'), (dict(area=(0.5, 0.2)), 'area'), (dict(aspect=(0, 2)), 'aspect')],
)
def test_a_grid_setting_out_of_range_is_named(setting, word):
    assert re.match('GridProposals: .*' + word, one_line(lambda: GridProposals(**setting)))
