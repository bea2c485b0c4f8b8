"""Retrieval against code without chunks in float64, and retrieval-D on networks that do or do not see surroundings."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmdecouple.evaluation.segmentation import IGNORE, Retrieval, Runtime, SegmentationImages, label_memory
from mmdecouple.evaluation.segmentation.label_memory import LabelMemory, MemoryImages, class_shares, key_seed
from mmdecouple.evaluation.segmentation.layouts import open_source
from mmdecouple.evaluation.segmentation.retrieval import ForeignSurroundings
from mmdecouple.utils.errors import UserError

from .test_segmentation_measures import CELL, COLORS, SIDE, ColorSource, OneHotModel, splits

WHOLE = dict(memory=None, augment=False)
CLASSES = 4


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_the_shares_of_a_cell_are_those_of_its_labelled_pixels(rows, columns, side, seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, IGNORE], (2, side, side)).astype(np.uint8)
    found = class_shares(torch.from_numpy(labels), (rows, columns), 3).view(2, rows, columns, 3)
    for image, row, column in np.ndindex(2, rows, columns):
        inside = [
            labels[image, y, x]
            for y in range(side)
            for x in range(side)
            if y * rows // side == row and x * columns // side == column and labels[image, y, x] != IGNORE
        ]
        expected = [inside.count(c) / len(inside) if inside else 0 for c in range(3)]
        assert found[image, row, column].tolist() == pytest.approx(expected)


def slow_look_up(queries, entries, shares, neighbors, temperature):
    """Softmax over the nearest entries of each query, in float64."""
    queries, entries = (F.normalize(x.double(), dim=1) for x in (queries, entries))
    rows = []
    for query in queries:
        cosines = entries @ query
        best = cosines.argsort(descending=True)[:neighbors]
        weights = (cosines[best] / temperature).exp()
        rows.append((weights[:, None] * shares[best].double()).sum(0) / weights.sum())
    return torch.stack(rows)


@pytest.mark.parametrize('neighbors', [1, 7, 100])
def test_parts_of_memory_and_queries_give_the_softmax_over_the_nearest_of_all(neighbors, monkeypatch):
    monkeypatch.setattr(label_memory, '_ENTRIES', 13)
    monkeypatch.setattr(label_memory, '_QUERIES', 5)
    torch.manual_seed(0)
    features, labels = torch.randn(2, 6, 4, 5), torch.randint(0, 3, (2, 20, 20), dtype=torch.uint8)
    memory = LabelMemory(3, torch.device('cpu'))
    memory.add(features, labels, [(0, 0, 0), (0, 0, 1)], None)
    memory.freeze()
    queries = torch.randn(12, 6)
    entries = features.flatten(2).transpose(1, 2).flatten(0, 1)
    shares = class_shares(labels, (4, 5), 3).flatten(0, 1)
    expected = slow_look_up(queries, entries, shares, neighbors, 0.05)
    found = memory.look_up(queries, neighbors, 0.05).double()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_patches_with_rare_classes_are_preferred_as_in_the_reference():
    torch.manual_seed(0)
    labels = torch.randint(0, 5, (1, 24, 24), dtype=torch.uint8)
    labels[:, :8] = 0
    labels[:, 8:12] = IGNORE
    features = torch.arange(36.0).view(1, 1, 6, 6) + torch.tensor([0.0, 1e3]).view(1, 2, 1, 1)
    memory = LabelMemory(5, torch.device('cpu'))
    memory.add(features, labels, [(3, 1, 4)], 9)
    memory.freeze()
    draws = torch.rand(36, generator=torch.Generator().manual_seed(key_seed((3, 1, 4))))
    cells = [
        set(labels[0, y : y + 4, x : x + 4].flatten().tolist()) - {IGNORE}
        for y in range(0, 24, 4)
        for x in range(0, 24, 4)
    ]
    scores = {
        number: sum(sum(c in other for other in cells) for c in present) * float(draws[number])
        for number, present in enumerate(cells)
        if present
    }
    expected = sorted(scores, key=scores.get)[:9]
    direction = F.normalize(torch.stack([torch.arange(36.0), torch.arange(36.0) + 1e3], 1), dim=1)
    torch.testing.assert_close(memory._features[0], direction[expected])
    assert len(memory) == 9


class Blurred(OneHotModel):
    """Its feature is the class of a cell, blurred over the whole image by `spread`: it sees its surroundings."""

    def __init__(self, spread):
        super().__init__(stride=CELL)
        self.spread = spread

    def dense_features(self, images):
        found = super().dense_features(images)
        torch.manual_seed(0)
        noise = torch.randn(CLASSES, 9)
        mixed = found + self.spread * found.mean((2, 3), keepdim=True)
        return torch.einsum('bchw,cd->bdhw', mixed, noise)


def slow_miou(model, train, val, neighbors, temperature):
    """Whole measure without masks, chunks or batches, in float64."""

    def cells(image):
        return model.dense_features(image[None].float())[0].double()

    entries, shares = [], []
    for image, labels in train:
        feature = cells(image)
        share = class_shares(labels[None], feature.shape[1:], CLASSES)[0]
        keep = share.any(1)
        entries.append(feature.flatten(1).T[keep])
        shares.append(share[keep])
    hits, union = np.zeros(CLASSES), np.zeros(CLASSES)
    for image, labels in val:
        feature = cells(image)
        found = slow_look_up(feature.flatten(1).T, torch.cat(entries), torch.cat(shares), neighbors, temperature)
        share = found.T.view(1, CLASSES, *feature.shape[1:])
        guess = F.interpolate(share, size=labels.shape, mode='bilinear')[0].argmax(0)
        for c in range(CLASSES):
            mine, true, scored = guess == c, labels == c, labels != IGNORE
            hits[c] += int((mine & true).sum())
            union[c] += int(((mine | true) & scored).sum())
    return (hits / union).mean()


@pytest.mark.parametrize('batch_size, threads', [(1, 1), (3, 2), (16, 1)])
def test_the_measure_equals_float64_for_any_batch_size_and_number_of_threads(batch_size, threads):
    train, val = splits()
    model, before = Blurred(2.0).eval(), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = Retrieval(**WHOLE, foreign=False, neighbors=5).run(model, train, val, Runtime(batch_size))
    finally:
        torch.set_num_threads(before)
    expected = slow_miou(model, train, val, 5, 0.02)
    assert 0.2 < expected < 0.999
    assert found.values['retrieval_miou'][0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('groups', [None, 1, 2])
def test_every_labelled_pixel_is_scored_once_on_another_image(groups):
    _, val = splits()
    images = ForeignSurroundings(val, 0, groups)
    for index in range(len(val)):
        image, labels = val[index]
        seen = torch.zeros_like(labels, dtype=torch.long)
        others = [val[i][0] for i in range(len(val)) if i != index]
        items = images[index]
        assert len(items) == (groups or len(labels[labels != IGNORE].unique()))
        for pixels, kept in items:
            keep = kept != IGNORE
            seen += keep
            assert torch.equal(pixels[:, keep], image[:, keep]) and torch.equal(kept[keep], labels[keep])
            assert any(torch.equal(pixels[:, ~keep], other[:, ~keep]) for other in others)
        assert torch.equal(seen, (labels != IGNORE).long())


class PairSource(ColorSource):
    """Every image shows the classes 0 and 1, or 2 and 3: the other class of the pair is the usual surroundings."""

    def __init__(self, count, first):
        self.name, self.items = 'pairs', []
        for index in range(count):
            cells = 2 * (index % 2) + np.random.default_rng(first + index).integers(0, 2, (SIDE // CELL,) * 2)
            large = np.kron(cells, np.ones((CELL, CELL), int))
            self.items.append((Image.fromarray(COLORS[large]), Image.fromarray(large.astype(np.uint8))))


class PairModel(OneHotModel):
    """Tells 0 from 1 and 2 from 3 by the cell, and the pairs by the cell or by the whole image."""

    def __init__(self, wide):
        super().__init__(stride=CELL)
        self.wide = wide

    def dense_features(self, images):
        found = super().dense_features(images)
        second = found[:, 2:].sum(1, keepdim=True) - 0.5
        second = second.mean((2, 3), keepdim=True).expand_as(second) if self.wide else second
        return torch.cat([found[:, 1::2].sum(1, keepdim=True) - 0.5, second], 1)


def test_the_gap_is_zero_without_a_view_of_the_surroundings_and_large_with_one():
    train, val = SegmentationImages(PairSource(8, 0)), SegmentationImages(PairSource(6, 100))
    measure = Retrieval(**WHOLE, neighbors=3)
    local, wide = (measure.run(PairModel(wide).eval(), train, val, Runtime()) for wide in (False, True))
    for result in (local, wide):
        plain, swapped, gap = (result.values[f'retrieval_{key}'][0] for key in ('miou', 'd_miou', 'gap_miou'))
        assert plain > 0.95 and gap == plain - swapped
        found = result.estimates['retrieval_gap_miou']
        assert found.value == pytest.approx(gap) and found.low <= gap <= found.high
    assert abs(local.values['retrieval_gap_miou'][0]) < 0.05
    assert wide.values['retrieval_gap_miou'][0] > 0.1


def test_a_bounded_memory_holds_an_equal_share_of_each_image_and_its_draws_repeat():
    train, val = splits()
    model = Blurred(2.0).eval()
    measure = Retrieval(memory=45, neighbors=3, epochs=2)
    first, second = (measure.run(model, train, val, Runtime(batch_size)) for batch_size in (1, 4))
    assert first.values == second.values
    assert first.notes == ['retrieval: 40 entries in the memory.']
    crops = [MemoryImages(train, 0, epoch)[0] for epoch in (0, 0, 1)]
    assert torch.equal(crops[0][0], crops[1][0]) and not torch.equal(crops[0][0], crops[2][0])


def unlabelled(count):
    source = ColorSource(count)
    source.items = [(image, labels.point(lambda _: IGNORE)) for image, labels in source.items]
    return SegmentationImages(source)


@pytest.mark.parametrize(
    'measure, train, val, line',
    [
        (dict(memory=9), None, None, 'memory = 9 cannot hold a patch of each of 10 training images'),
        (dict(WHOLE), unlabelled(3), None, 'no patch of the training images has a labelled pixel'),
        (dict(WHOLE), None, SegmentationImages(ColorSource(1)), 'need at least two validation images'),
    ],
)
def test_data_that_cannot_be_measured_is_one_line(measure, train, val, line):
    usual = splits()
    with pytest.raises(UserError, match=line):
        measured = Retrieval(**measure)
        measured.check(train or usual[0], val or usual[1], CELL**2)
        measured.run(OneHotModel(CELL).eval(), train or usual[0], val or usual[1], Runtime())


@pytest.mark.parametrize(
    'setting',
    [
        dict(memory=0),
        dict(neighbors=0),
        dict(temperature=0),
        dict(epochs=0),
        dict(groups=0),
        dict(seeds=0),
        dict(grid=0),
    ],
)
def test_a_wrong_setting_is_named(setting):
    with pytest.raises(UserError, match=next(iter(setting))):
        Retrieval(**setting)


@pytest.mark.skipif('MMDECOUPLE_DATA' not in os.environ, reason='needs MMDECOUPLE_DATA with camvid/')
def test_camvid_has_its_published_numbers_of_images_and_void_is_ignored():
    root = Path(os.environ['MMDECOUPLE_DATA']) / 'camvid'
    train, val = (open_source(f'camvid:{root}', split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (367, 233)
    image, labels = val.read(0)
    assert image.size == labels.size == (480, 360)
    assert set(np.unique(labels)) <= {*range(11), IGNORE} and IGNORE in np.unique(labels)
