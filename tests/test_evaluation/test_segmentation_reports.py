"""Every number of a segmentation report against loops over pixels, for heads and clusters that know nothing."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mmdecouple.datasets.seeding import derive_seeds
from mmdecouple.evaluation.segmentation import (
    IGNORE,
    FCNSegmentation,
    LinearSegmentation,
    OverClustering,
    Retrieval,
    Runtime,
    SegmentationMeasure,
    SegmentationResult,
    measure_segmentation,
    over_clustering,
    shrink_labels,
)
from mmdecouple.evaluation.segmentation.heads import LinearHead

from .test_segmentation import slow_iou
from .test_segmentation_measures import CELL, SIDE, OneHotModel, splits

CLASSES = 4


def by_loops(predictions, labels):
    """IoU of each class and the published scores, for flat lists of predictions and labels."""
    iou = slow_iou(predictions, labels, CLASSES)
    known = [(p, y) for p, y in zip(predictions, labels) if y != IGNORE]
    present = [iou[c] for c in sorted({y for _, y in known})]
    return iou, dict(
        miou=sum(iou) / CLASSES,
        miou_present=sum(present) / len(present),
        pixel_accuracy=sum(p == y for p, y in known) / len(known),
    )


def check(report, name, found):
    """The report's numbers of a head or a clustering, from what loops found for each seed."""
    for key in ('miou', 'miou_present', 'pixel_accuracy'):
        seeds = [scores[key] for _, scores in found]
        assert 0 < max(seeds) < 1 and len(set(seeds)) > 1
        middle = sum(seeds) / len(seeds)
        spread = (sum((value - middle) ** 2 for value in seeds) / len(seeds)) ** 0.5
        entry, resamples = report['metrics'][f'{name}_{key}'], report['resamples'][f'{name}_{key}']
        assert (entry['value'], entry['std']) == (pytest.approx(middle), pytest.approx(spread))
        assert entry['seeds'] == pytest.approx(seeds)
        assert np.percentile(resamples, [2.5, 97.5]) == pytest.approx([entry['low'], entry['high']], rel=1e-4)
        assert min(resamples) < middle < max(resamples) and entry['low'] < entry['high']
    expected = [sum(iou[c] for iou, _ in found) / len(found) for c in range(CLASSES)]
    assert list(report['class_iou'][name].values()) == pytest.approx(expected)


def without_class(images, missing):
    """The images of a split, as their third class were not labelled, so that classes and present classes differ."""
    for _, labels in images.source.items:
        labels.putdata([IGNORE if value == missing else value for value in labels.getdata()])
    return images


@pytest.mark.parametrize('eval_size, side', [(None, SIDE), (13, 13), (SIDE, SIDE), (99, SIDE)])
def test_numbers_of_heads_are_those_of_loops_over_pixels(eval_size, side, monkeypatch):
    train, val = splits()
    without_class(val, 2)
    heads = []
    for seed in range(3):
        torch.manual_seed(seed)
        heads.append(LinearHead(4, CLASSES).eval())
    monkeypatch.setattr(LinearSegmentation, '_train', lambda self, *rest: (heads[rest[3]], [1.0]))
    report = measure_segmentation(
        OneHotModel(CELL), train, val, [LinearSegmentation(seeds=3, augment=False, eval_size=eval_size)]
    )
    model, found = OneHotModel(CELL).eval(), []
    for head in heads:
        predictions, truth = [], []
        for pixels, labels in val:
            logits = head(model.dense_features(pixels[None].float()), side)[0]
            predictions += logits.argmax(0).flatten().tolist()
            truth += shrink_labels(labels[None], side).flatten().tolist()
        found.append(by_loops(predictions, truth))
    assert list(report['metrics']) == ['linear_miou', 'linear_miou_present', 'linear_pixel_accuracy']
    check(report, 'linear', found)


@pytest.mark.parametrize('clusters, name', [(6, 'overcluster_6_majority'), ('classes', 'overcluster_4_hungarian')])
def test_numbers_of_clusterings_are_those_of_loops_over_pixels(clusters, name, monkeypatch):
    train, val = splits()
    without_class(val, 2)
    count, cells = CLASSES if clusters == 'classes' else clusters, SIDE // CELL

    def drawn(seed):
        return np.random.default_rng(seed).integers(0, count, len(val) * cells**2)

    monkeypatch.setattr(over_clustering, 'kmeans', lambda points, number, seed, *rest: drawn(seed))
    report = measure_segmentation(OneHotModel(CELL), train, val, [OverClustering(clusters=(clusters,), seeds=2)])
    found = []
    for seed in range(2):
        ids = drawn(seed).reshape(len(val), cells, cells)
        own, truth = [], []
        for n, (_, labels) in enumerate(val):
            for y, x in itertools.product(range(SIDE), repeat=2):
                own.append(int(ids[n, y // CELL, x // CELL]))
                truth.append(int(labels[y, x]))
        pixels = [[sum(k == i and y == c for i, y in zip(own, truth)) for c in range(CLASSES)] for k in range(count)]
        if clusters == 'classes':
            union = [
                [sum(pixels[k]) + sum(row[c] for row in pixels) - pixels[k][c] for c in range(CLASSES)]
                for k in range(count)
            ]
            match = max(
                itertools.permutations(range(CLASSES)),
                key=lambda chosen: sum(pixels[k][c] / max(union[k][c], 1) for k, c in enumerate(chosen)),
            )
        else:
            match = [row.index(max(row)) for row in pixels]
        found.append(by_loops([match[i] for i in own], truth))
    check(report, name, found)


def test_a_head_is_trained_by_the_steps_of_sgd_written_out(monkeypatch):
    made, make = [], LinearSegmentation.head
    monkeypatch.setattr(LinearSegmentation, 'head', lambda self, *sizes: made.append(make(self, *sizes)) or made[-1])
    train, val = splits()
    settings = dict(epochs=4, drop_at=2, batch_size=4, lr=0.3, momentum=0.8, weight_decay=0.02, grid=8)
    measure_segmentation(OneHotModel(CELL), train, val, [LinearSegmentation(**settings, augment=False, seeds=2)])
    model = OneHotModel(CELL).eval()
    features = torch.cat([model.dense_features(pixels[None].float()) for pixels, _ in train]).double()
    labels = shrink_labels(torch.stack([labels for _, labels in train]), 8)
    for seed, head in enumerate(made):
        torch.manual_seed(seed)
        own = LinearHead(4, CLASSES).double()
        weights, pull = list(own.parameters()), [0, 0]
        for epoch in range(4):
            key = derive_seeds(seed, epoch, stream='order')[0]
            order = torch.randperm(10, generator=torch.Generator().manual_seed(key)).tolist()
            for chosen in (order[:4], order[4:8]):
                known = labels[chosen] != IGNORE
                log = own(features[chosen], 8).log_softmax(1).permute(0, 2, 3, 1)[known]
                loss = -sum(row[c] for row, c in zip(log, labels[chosen][known].tolist())) / int(known.sum())
                gradients = torch.autograd.grad(loss, weights)
                with torch.no_grad():
                    pull = [0.8 * v + g + 0.02 * w for v, g, w in zip(pull, gradients, weights)]
                    for w, v in zip(weights, pull):
                        w -= (0.3 if epoch < 2 else 0.03) * v
        for ours, expected in zip(head.parameters(), weights, strict=True):
            torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-5)


def test_progress_counts_every_stage_from_its_first_part_to_its_last():
    seen = {}
    runtime = Runtime(batch_size=4, progress=lambda stage, *done: seen.setdefault(stage, []).append(done))
    head = dict(epochs=3, drop_at=3, batch_size=4, seeds=2)
    measure_segmentation(
        OneHotModel(CELL),
        *splits(),
        [
            LinearSegmentation(**head, augment=False),
            FCNSegmentation(**head, channels=2),
            OverClustering(clusters=(6, 'classes', CLASSES), seeds=2),
        ],
        runtime=runtime,
    )
    epochs, val = [(done, 6) for done in range(1, 7)], [(4, 7), (7, 7)]
    assert seen == {
        'linear: features': [(4, 10), (8, 10), (10, 10)],
        'linear: epochs': epochs,
        'linear: scoring': val,
        'fcn: epochs': epochs,
        'fcn: scoring': val,
        'overcluster: features': val,
        'overcluster: clusterings': [(done, 4) for done in range(1, 5)],
    }


@dataclass
class SlowMeasure(SegmentationMeasure):
    """Takes seconds of a clock that the test holds."""

    name: str
    seconds: float
    clock: list

    def run(self, model, train, val, runtime):
        self.clock[0] += self.seconds
        return SegmentationResult()


def test_seconds_are_those_of_each_measure(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr('time.perf_counter', lambda: clock[0])
    measures = [SlowMeasure('a', 2.126, clock), SlowMeasure('b', 7.0, clock)]
    report = measure_segmentation(OneHotModel(CELL), *splits(), measures)
    assert report['seconds'] == dict(a=2.13, b=7)


def test_a_loss_that_is_not_finite_names_the_epoch_and_the_rate():
    measure = LinearSegmentation(lr=1e38, epochs=3, batch_size=4, augment=False)
    with pytest.raises(ValueError, match=r'the loss is not finite after epoch 1; lower lr \(now 1e\+38'):
        measure_segmentation(OneHotModel(CELL), *splits(), [measure])


def test_components_are_remarked_only_where_there_are_fewer_than_asked_for():
    for dims, remarks in ((CLASSES, 0), (CLASSES + 1, 1)):
        report = measure_segmentation(OneHotModel(CELL), *splits(), [OverClustering((CLASSES,), 1, pca_dim=dims)])
        assert sum('all components are used' in note for note in report['notes']) == remarks
        assert not any('clusters contain tokens' in note for note in report['notes'])


def test_data_that_is_too_small_for_a_later_measure_is_refused_before_the_first_is_trained(monkeypatch):
    monkeypatch.setattr(LinearSegmentation, 'run', lambda *_: pytest.fail('trained'))
    most = len(splits()[1]) * (SIDE // CELL) ** 2
    for measure, line in (
        (OverClustering((most + 1,), 1), f'{most + 1} clusters require as many tokens, got {most}'),
        (Retrieval(memory=1), r'limit the images \(--limit\)'),
    ):
        with pytest.raises(ValueError, match=line):
            measure_segmentation(OneHotModel(CELL), *splits(), [LinearSegmentation(), measure])
    with pytest.raises(ValueError, match=f'{CLASSES} clusters require as many tokens, got 0 '):
        OverClustering((1, 'classes'), 1).check(*splits(), 0)


def test_a_batch_norm_that_would_be_trained_on_one_position_is_refused():
    images, normed = splits()[0], LinearSegmentation(batch_norm=True, batch_size=1)
    with pytest.raises(ValueError, match='a batch of one position'):
        normed.check(images, images, 1)
    normed.check(images, images, 2)
    LinearSegmentation(batch_size=1).check(images, images, 1)


def test_splits_of_other_classes_and_features_that_are_not_finite_are_one_clear_line():
    train, val = splits()
    val.classes = ('a', 'b', 'c')
    with pytest.raises(ValueError, match=r'different classes \(4 and 3\)'):
        measure_segmentation(OneHotModel(CELL), train, val, [LinearSegmentation()])
    model = OneHotModel(CELL)
    model.dense_features = lambda images: OneHotModel.dense_features(model, images) / 0
    with pytest.raises(ValueError, match='features that are not finite'):
        measure_segmentation(model, *splits(), [OverClustering((3,), 1)])
