"""VOC's AP against a plain reading of the development kit's rule."""

from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import torch

from mmdecouple.downstream import VOCTenMetric

CLASSES = ('cat', 'dog')


def scene(rng, count):
    corner = rng.uniform(0, 60, (count, 2))
    return np.hstack([corner, corner + rng.uniform(8, 40, (count, 2))]), rng.integers(0, 2, count)


def images(seed=0):
    """Objects, some of them difficult, and detections near them."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(6):
        boxes, labels = scene(rng, 5)
        difficult = rng.random(5) < 0.2
        extra, extra_labels = scene(rng, 3)
        detections = np.vstack([boxes + rng.normal(0, 2, boxes.shape), boxes + rng.normal(0, 5, boxes.shape), extra])
        found.append(
            (
                boxes,
                labels,
                difficult,
                detections,
                np.hstack([labels, labels, extra_labels]),
                rng.random(len(detections)),
            )
        )
    return found


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1
    common = np.prod(np.maximum(sides, 0))
    return common / (np.prod(a[2:] - a[:2] + 1) + np.prod(b[2:] - b[:2] + 1) - common)


def average_precision(data, label, threshold):
    ranked = sorted(
        (
            (score, index, box)
            for index, (_, _, _, boxes, labels, scores) in enumerate(data)
            for box, own, score in zip(boxes, labels, scores)
            if own == label
        ),
        key=lambda item: -item[0],
    )
    total = sum(((labels == label) & ~difficult).sum() for _, labels, difficult, *_ in data)
    taken, hits, outcomes = set(), 0, []
    for _, index, box in ranked:
        boxes, labels, difficult = data[index][:3]
        overlaps = [overlap(box, other) if own == label else -1 for other, own in zip(boxes, labels)]
        best = int(np.argmax(overlaps))
        if overlaps[best] < threshold:
            outcomes.append(0)
        elif not difficult[best]:
            outcomes.append(int((index, best) not in taken))
            taken.add((index, best))
    hits = np.cumsum(outcomes)
    recall, precision = hits / total, hits / np.arange(1, len(hits) + 1)
    return np.mean([max(precision[recall >= level], default=0) for level in np.arange(0.0, 1.1, 0.1)])


def score(data):
    metric = VOCTenMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    for boxes, labels, difficult, detections, found, scores in data:
        as_tensors = {
            key: dict(bboxes=torch.tensor(boxes[chosen]), labels=torch.tensor(labels[chosen]))
            for key, chosen in (('gt_instances', ~difficult), ('ignored_instances', difficult))
        }
        metric.process(
            {},
            [
                dict(
                    as_tensors,
                    pred_instances=dict(
                        bboxes=torch.tensor(detections), labels=torch.tensor(found), scores=torch.tensor(scores)
                    ),
                )
            ],
        )
    return metric.evaluate(len(data))


def test_ap_is_the_mean_of_ten_eleven_point_aps(monkeypatch):
    monkeypatch.setattr('mmdet.evaluation.functional.mean_ap.Pool', ThreadPool)
    data = images()
    found = score(data)
    expected = [
        np.mean([average_precision(data, label, percent / 100) for label in (0, 1)]) for percent in range(50, 100, 5)
    ]
    names = [f'pascal_voc/AP{percent}' for percent in range(50, 100, 5)]
    assert list(found) == ['pascal_voc/mAP', *names]
    assert [found[name] for name in names] == pytest.approx(expected, abs=1e-6)
    assert found['pascal_voc/mAP'] == pytest.approx(np.mean(expected), abs=1e-6)
    assert 0.1 < found['pascal_voc/mAP'] < found['pascal_voc/AP50'] < 1
