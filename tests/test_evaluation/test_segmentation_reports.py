"""Every number of a segmentation report against loops over pixels, for heads and clusters that know nothing."""
import itertools

import numpy as np
import pytest
import torch

from mmdecouple.datasets.segmentation import IGNORE
from mmdecouple.evaluation.segmentation import LinearSegmentation, OverClustering, measure_segmentation
from mmdecouple.evaluation.segmentation import over_clustering
from mmdecouple.evaluation.segmentation.heads import LinearHead

from .test_segmentation import slow_iou
from .test_segmentation_measures import CELL, SIDE, OneHotModel, splits

CLASSES = 4


def by_loops(predictions, labels):
    """IoU of each class and the published scores, for flat lists of predictions and labels."""
    iou = slow_iou(predictions, labels, CLASSES)
    known = [(p, y) for p, y in zip(predictions, labels) if y != IGNORE]
    present = [iou[c] for c in sorted({y for _, y in known})]
    return iou, dict(miou=sum(iou) / CLASSES, miou_present=sum(present) / len(present),
                     pixel_accuracy=sum(p == y for p, y in known) / len(known))


def check(report, name, found):
    """The report's numbers of a head or a clustering, from what loops found for each seed."""
    for key in ('miou', 'miou_present', 'pixel_accuracy'):
        seeds = [scores[key] for _, scores in found]
        assert 0 < max(seeds) < 1 and len(set(seeds)) > 1
        middle = sum(seeds) / len(seeds)
        spread = (sum((value - middle)**2 for value in seeds) / len(seeds))**0.5
        assert report['metrics'][f'{name}_{key}'] == dict(
            value=pytest.approx(middle), std=pytest.approx(spread), seeds=pytest.approx(seeds))
    expected = [sum(iou[c] for iou, _ in found) / len(found) for c in range(CLASSES)]
    assert list(report['class_iou'][name].values()) == pytest.approx(expected)


def without_class(images, missing):
    """The images of a split, as their third class were not labelled, so that classes and present classes differ."""
    for _, labels in images.source.items:
        labels.putdata([IGNORE if value == missing else value for value in labels.getdata()])
    return images


def test_numbers_of_heads_are_those_of_loops_over_pixels(monkeypatch):
    train, val = splits()
    without_class(val, 2)
    heads = []
    for seed in range(3):
        torch.manual_seed(seed)
        heads.append(LinearHead(4, CLASSES).eval())
    monkeypatch.setattr(LinearSegmentation, '_train', lambda self, *rest: heads[rest[3]])
    report = measure_segmentation(OneHotModel(CELL), train, val, [LinearSegmentation(seeds=3, augment=False)])
    model, found = OneHotModel(CELL).eval(), []
    for head in heads:
        predictions, truth = [], []
        for pixels, labels in val:
            logits = head(model.dense_features(pixels[None].float()), SIDE)[0]
            for y, x in itertools.product(range(SIDE), repeat=2):
                predictions.append(int(logits[:, y, x].argmax()))
                truth.append(int(labels[y, x]))
        found.append(by_loops(predictions, truth))
    assert [name for name in report['metrics']] == ['linear_miou', 'linear_miou_present', 'linear_pixel_accuracy']
    check(report, 'linear', found)


@pytest.mark.parametrize('clusters, name', [(6, 'overcluster_6_majority'), ('classes', 'overcluster_4_hungarian')])
def test_numbers_of_clusterings_are_those_of_loops_over_pixels(clusters, name, monkeypatch):
    train, val = splits()
    without_class(val, 2)
    count, cells = CLASSES if clusters == 'classes' else clusters, SIDE // CELL

    def drawn(seed):
        return np.random.default_rng(seed).integers(0, count, len(val) * cells**2)

    monkeypatch.setattr(over_clustering, 'kmeans', lambda points, number, seed, *rest: drawn(seed))
    report = measure_segmentation(OneHotModel(CELL), train, val, [OverClustering(clusters=(clusters, ), seeds=2)])
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
            union = [[sum(pixels[k]) + sum(row[c] for row in pixels) - pixels[k][c] for c in range(CLASSES)]
                     for k in range(count)]
            match = max(itertools.permutations(range(CLASSES)), key=lambda chosen: sum(
                pixels[k][c] / max(union[k][c], 1) for k, c in enumerate(chosen)))
        else:
            match = [row.index(max(row)) for row in pixels]
        found.append(by_loops([match[i] for i in own], truth))
    check(report, name, found)
