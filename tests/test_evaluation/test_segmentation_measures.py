"""Whole measures on networks whose segmentation is known by construction."""

import random

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from PIL import Image

from mmdecouple.evaluation.segmentation import (
    IGNORE,
    AugmentedImages,
    FCNSegmentation,
    LinearSegmentation,
    OverClustering,
    Runtime,
    SegmentationImages,
    measure_segmentation,
)
from mmdecouple.registry import MODELS
from mmdecouple.utils.files import write_json

COLORS = np.array([[20, 20, 20], [220, 30, 30], [30, 220, 30], [30, 30, 220]], np.uint8)
CELL, SIDE = 8, 32


class ColorSource:
    """Cells of 8 x 8 pixels in the color of their class; some cells are ignored and have any color."""

    classes, size, notes = ('a', 'b', 'c', 'd'), SIDE, ()

    def __init__(self, count=10, first=0):
        self.name, self.items = f'colors{first}', []
        rng = np.random.default_rng(first)
        for _ in range(count):
            shown = rng.integers(0, 4, (SIDE // CELL, SIDE // CELL))
            labels = np.where(rng.random(shown.shape) < 0.2, IGNORE, shown)
            image, labels = (np.kron(cells, np.ones((CELL, CELL), int)) for cells in (shown, labels))
            self.items.append((Image.fromarray(COLORS[image]), Image.fromarray(labels.astype(np.uint8))))

    def __len__(self):
        return len(self.items)

    def read(self, index):
        return self.items[index]


class OneHotModel(BaseModel):
    """Its feature is the one-hot class of a pixel, or of a cell: whatever measures it must find 100 %."""

    def __init__(self, stride=1):
        super().__init__(MODELS.build(dict(type='DensePreprocessor', mean=(0, 0, 0), std=(1, 1, 1))))
        self.stride = stride
        self.dropout = torch.nn.Dropout()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def dense_features(self, images):
        colors = torch.from_numpy(COLORS).float()
        distance = (images[:, None] - colors[None, :, :, None, None]).square().sum(2)
        one_hot = torch.nn.functional.one_hot(distance.argmin(1), 4).permute(0, 3, 1, 2).float()
        return self.dropout(one_hot)[..., :: self.stride, :: self.stride]

    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise NotImplementedError


def splits():
    return SegmentationImages(ColorSource()), SegmentationImages(ColorSource(7, first=1))


HEAD = dict(epochs=4, drop_at=3, batch_size=4, lr=0.5, augment=False, seeds=2)


def test_features_that_are_the_class_give_100_percent_by_a_linear_head():
    report = measure_segmentation(OneHotModel(), *splits(), [LinearSegmentation(**HEAD)])
    assert report['metrics']['linear_miou'] == dict(value=1, std=0, seeds=[1, 1], low=1, high=1, count=7)
    assert report['class_iou']['linear'] == dict.fromkeys('abcd', 1.0)


@pytest.mark.parametrize(
    'images, min_steps, schedule',
    [(10, 0, (4, 3)), (10, 8, (4, 3)), (10, 9, (5, 3)), (10, 20, (10, 8)), (3, 8, (8, 6)), (1000, 900, (4, 3))],
)
def test_the_epochs_of_a_head_grow_until_the_steps_suffice(images, min_steps, schedule):
    assert LinearSegmentation(**HEAD, min_steps=min_steps).schedule(images) == schedule


def test_the_epochs_of_the_schedule_are_trained():
    calls = []
    runtime = Runtime(progress=lambda *call: calls.append(call))
    LinearSegmentation(**HEAD, min_steps=20).run(OneHotModel(), *splits(), runtime)
    assert [call[1:] for call in calls if call[0] == 'linear: epochs'] == [(epoch, 20) for epoch in range(1, 21)]


def test_a_report_says_whether_the_loss_of_a_head_still_fell():
    def notes(model, **settings):
        return measure_segmentation(model, *splits(), [LinearSegmentation(**{**HEAD, **settings})])['notes']

    slow = notes(OneHotModel(), epochs=10, drop_at=8, lr=0.05)
    assert len(slow) == 1 and 'still fell by' in slow[0] and 'over the last 4 epochs' in slow[0]
    # Features without content: the lowest loss is the entropy of the classes, which the bias reaches soon.
    assert notes(BlindModel(), epochs=40, drop_at=32, lr=0.1) == []
    assert notes(BlindModel(), epochs=9, drop_at=3) == [
        'linear: the learning rate dropped after epoch 3, too early to tell whether the head is trained to the end.'
    ]


def test_features_that_are_the_class_give_nearly_100_percent_by_an_fcn_head_which_also_looks_around():
    measure = FCNSegmentation(**{**HEAD, 'lr': 0.2, 'epochs': 24, 'drop_at': 20, 'seeds': 1}, channels=16)
    report = measure_segmentation(OneHotModel(), *splits(), [measure])
    assert report['metrics']['fcn_miou']['value'] > 0.99


def test_features_that_are_the_class_give_100_percent_by_clusters_named_after_their_matching():
    measure = OverClustering(clusters=(6, 'classes'), seeds=2)
    report = measure_segmentation(OneHotModel(CELL), *splits(), [measure])
    for name in ('overcluster_6_majority_miou', 'overcluster_4_hungarian_miou'):
        assert report['metrics'][name]['seeds'] == [1, 1]
    assert 'overcluster_6_majority: only 4 of 6 clusters contain tokens.' in report['notes']
    assert any('fewer than pca_dim = 50' in note for note in report['notes'])


class BlindModel(OneHotModel):
    """Sees nothing: the same feature everywhere."""

    def dense_features(self, images):
        return torch.ones(len(images), 3, 4, 4)


def test_features_without_content_get_the_most_frequent_class_alone():
    train, val = splits()
    labels = torch.stack([labels for _, labels in val])
    shares = torch.stack([(labels == c).sum() for c in range(4)]) / (labels != IGNORE).sum()
    report = measure_segmentation(BlindModel(), train, val, [OverClustering(clusters=(5,), seeds=1)])
    assert report['metrics']['overcluster_5_majority_miou']['value'] == pytest.approx(float(shares.max()) / 4)
    assert report['metrics']['overcluster_5_majority_pixel_accuracy']['value'] == pytest.approx(float(shares.max()))


def test_crops_and_flips_move_image_and_labels_together_and_depend_on_seed_and_epoch_alone():
    images = SegmentationImages(ColorSource())
    first = AugmentedImages(images, seed=3, epoch=1)
    random.seed(5)
    for index in range(10):
        (pixels, labels), (again, _) = first[index], first[index]
        assert torch.equal(pixels, again)
        distance = (pixels[None].float() - torch.from_numpy(COLORS)[:, :, None, None]).square().sum(1)
        known = labels != IGNORE
        assert (distance.argmin(0) == labels)[known].float().mean() > 0.85
    assert not torch.equal(first[0][0], AugmentedImages(images, seed=3, epoch=2)[0][0])


def test_heads_learn_from_crops_too_and_batches_of_reading_change_nothing():
    measure = LinearSegmentation(epochs=3, drop_at=2, batch_size=4, lr=0.5)
    reports = [
        measure_segmentation(OneHotModel(), *splits(), [measure], runtime=Runtime(batch_size=size)) for size in (1, 5)
    ]
    assert reports[0]['metrics'] == reports[1]['metrics']
    assert reports[0]['metrics']['linear_miou']['value'] == 1


def test_measuring_leaves_modes_and_generators_alone():
    model = OneHotModel().train()
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    measure_segmentation(model, *splits(), [LinearSegmentation(epochs=1, augment=True), OverClustering((3,), seeds=1)])
    assert model.training and model.dropout.training
    assert random.getstate() == states[0] and (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(
    'make, line',
    [
        (lambda: LinearSegmentation(lr=0), 'LinearSegmentation: lr must be positive, got 0'),
        (lambda: FCNSegmentation(min_steps=-1), 'FCNSegmentation: min_steps must not be negative, got -1'),
        (lambda: OverClustering(clusters=('few',)), "clusters must be positive numbers or 'classes', got 'few'"),
        (lambda: OverClustering(seeds=0), 'OverClustering: seeds must be at least 1, got 0'),
        (
            lambda: SegmentationImages('scenes', limit=0),
            'SegmentationImages: limit must be a whole number or None of at least 1, got 0',
        ),
    ],
)
def test_settings_out_of_range_are_one_clear_line(make, line):
    with pytest.raises(ValueError) as error:
        make()
    assert line in str(error.value) and '\n' not in str(error.value)


def test_a_report_without_a_file_is_json_all_the_same(tmp_path):
    report = measure_segmentation(OneHotModel(), *splits(), [OverClustering((3,), seeds=1)])
    write_json(tmp_path / 'report.json', report)
    assert report['format'] == 'mmdecouple-segmentation/1' and report['measures']['overcluster']['clusters'] == (3,)
