"""Scores, matchings, components, clusters and label sizes against slow code that is obviously right."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.cluster import KMeans

from mmdecouple.evaluation.segmentation import IGNORE, shrink_labels, squash
from mmdecouple.evaluation.segmentation.clustering import choose_library, kmeans, principal_components
from mmdecouple.evaluation.segmentation.heads import FCNHead, LinearHead
from mmdecouple.evaluation.segmentation.scoring import (
    class_iou,
    count_pairs,
    hungarian_match,
    majority_match,
    merge_clusters,
    scores,
    tally,
    tally_statistic,
)


@st.composite
def pixels(draw, classes=4):
    """Cluster ids, labels (some ignored, some classes perhaps absent), number of clusters and of classes."""
    clusters = draw(st.integers(1, 6))
    count = draw(st.integers(1, 60))
    ids = draw(st.lists(st.integers(0, clusters - 1), min_size=count, max_size=count))
    labels = draw(st.lists(st.sampled_from([*range(classes), IGNORE]), min_size=count, max_size=count))
    return ids, labels, clusters, classes


def slow_iou(predictions, labels, classes):
    """IoU of each class with a loop over pixels, as `PredsmIoU` defines it."""
    found = []
    for c in range(classes):
        hit = sum(p == c and y == c for p, y in zip(predictions, labels) if y != IGNORE)
        either = sum(p == c or y == c for p, y in zip(predictions, labels) if y != IGNORE)
        found.append(hit / either if either else 0.0)
    return found


def table(ids, labels, clusters, classes):
    return count_pairs(torch.tensor(ids), torch.tensor(labels, dtype=torch.uint8), clusters, classes).numpy()


@given(pixels())
@settings(max_examples=60, deadline=None)
def test_iou_is_that_of_a_loop_over_pixels_and_absent_classes_count_as_zero(case):
    ids, labels, _, classes = case
    predictions = [i % classes for i in ids]
    confusion = table(predictions, labels, classes, classes)
    slow = slow_iou(predictions, labels, classes)
    assert class_iou(confusion) == pytest.approx(slow)
    found = scores(confusion)
    assert found['miou'] == pytest.approx(sum(slow) / classes)
    there = sorted({y for y in labels if y != IGNORE})
    assert found['miou_present'] == pytest.approx(np.mean([slow[c] for c in there]) if there else 0)
    kept = [p == y for p, y in zip(predictions, labels) if y != IGNORE]
    assert found['pixel_accuracy'] == pytest.approx(np.mean(kept) if kept else 0)


@given(pixels())
@settings(max_examples=60, deadline=None)
def test_majority_is_the_best_of_all_many_to_one_matchings_by_correct_pixels(case):
    ids, labels, clusters, classes = case
    counts = table(ids, labels, clusters, classes)
    match = majority_match(counts)
    for k in range(clusters):
        own = [y for i, y in zip(ids, labels) if i == k and y != IGNORE]
        share = [own.count(c) / max(len(own), 1) for c in range(classes)]
        assert match[k] == share.index(max(share))
    predictions = [int(match[i]) for i in ids]
    assert np.array_equal(merge_clusters(counts, match), table(predictions, labels, classes, classes))
    if clusters <= 4:
        best = max(
            sum(counts[k, c] for k, c in enumerate(chosen))
            for chosen in itertools.product(range(classes), repeat=clusters)
        )
        assert np.trace(merge_clusters(counts, match)) == best


@given(pixels())
@settings(max_examples=60, deadline=None)
def test_hungarian_is_the_best_of_all_permutations_by_iou(case):
    ids, labels, _, classes = case
    counts = table([i % classes for i in ids], labels, classes, classes)
    match = hungarian_match(counts)
    assert sorted(match) == list(range(classes))
    best = max(
        class_iou(merge_clusters(counts, np.array(chosen))).sum() for chosen in itertools.permutations(range(classes))
    )
    assert class_iou(merge_clusters(counts, match)).sum() == pytest.approx(best)


@given(st.lists(pixels(), min_size=1, max_size=4), st.data())
@settings(max_examples=40, deadline=None)
def test_the_scores_of_resampled_images_are_those_of_their_pixels_together(cases, data):
    classes = cases[0][3]
    images = [([i % classes for i in ids], labels) for ids, labels, _, _ in cases]
    tallies = np.stack([tally(table(*image, classes, classes)) for image in images])
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(images), max_size=len(images)))
    ids, labels = ([x for image, n in zip(images, times) for x in n * image[part]] for part in (0, 1))
    slow = slow_iou(ids, labels, classes)
    whole = slow_iou(*([x for image in images for x in image[part]] for part in (0, 1)), classes)
    # A class that is labelled only in images that were not drawn counts as on all images.
    known = {y for _, own in images for y in own if y != IGNORE}
    iou = [slow[c] if c in labels else whole[c] for c in known]
    right = [p == y for p, y in zip(ids, labels) if y != IGNORE]
    for key, expected in (
        ('miou', sum(iou) / classes),
        ('miou_present', sum(iou) / max(len(iou), 1)),
        ('pixel_accuracy', sum(right) / max(len(right), 1)),
    ):
        found = tally_statistic(tallies, key)(np.array([times, times], float))
        assert found == pytest.approx([expected] * 2), key


def test_one_to_one_matching_of_unequal_numbers_is_refused():
    with pytest.raises(ValueError, match='6 clusters and 4 classes; use majority_match'):
        hungarian_match(np.zeros((6, 4), int))


@pytest.mark.parametrize('dims', [3, 9])
def test_components_are_those_of_an_svd_of_standardized_tokens(dims, monkeypatch):
    monkeypatch.setattr('mmdecouple.evaluation.segmentation.clustering.CHUNK', 37)
    rng = np.random.default_rng(0)
    tokens = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 6)) * 10 ** rng.uniform(-2, 2, 6) + 50
    tokens = np.concatenate([tokens, np.full((200, 1), 0.1)], 1).astype(np.float32)
    found = principal_components(torch.from_numpy(tokens), dims).numpy()
    informative = tokens[:, :6].astype(float)
    standardized = (informative - informative.mean(0)) / informative.std(0)
    _, _, axes = np.linalg.svd(standardized, full_matrices=False)
    expected = standardized @ axes[:dims].T
    assert found.shape == (200, min(dims, 7))
    for mine, theirs in zip(found.T, expected.T):
        assert min(abs(mine - theirs).max(), abs(mine + theirs).max()) < 1e-4
    assert not found[:, 6:].any(), 'a constant channel has nothing to say'


def clusters_of(points, count, seed=0, iterations=100, restarts=5, sample=256, library='sklearn'):
    return kmeans(points, count, seed, iterations, restarts, sample, library)


def test_without_faiss_clusters_are_those_of_scikit_learn_on_points_drawn_by_the_seed():
    points = np.random.default_rng(1).standard_normal((200, 3)).astype(np.float32)
    drawn = points[np.sort(np.random.default_rng(4).permutation(200)[: 5 * 20])]
    fitted = {
        sample: KMeans(5, init='random', n_init=3, max_iter=4, tol=0, random_state=4).fit(chosen).predict(points)
        for sample, chosen in ((20, drawn), (40, points), (None, points))
    }
    for sample, expected in fitted.items():
        assert np.array_equal(clusters_of(points, 5, 4, iterations=4, restarts=3, sample=sample), expected)
    assert (fitted[20] != fitted[40]).any()


def test_as_many_clusters_as_tokens_and_fewer_different_tokens_than_clusters_are_no_obstacle(recwarn):
    assert sorted(clusters_of(np.arange(4.0)[:, None], 4)) == [0, 1, 2, 3]
    assert len(set(clusters_of(np.repeat([[0.0], [9.0]], 5, 0), 4))) <= 4
    assert not recwarn.list


@pytest.mark.parametrize('library', ['sklearn', 'faiss'])
def test_tokens_go_to_their_nearest_center_and_the_centers_are_their_means(library):
    if library == 'faiss':
        pytest.importorskip('faiss')
    rng = np.random.default_rng(1)
    points = rng.standard_normal((5, 3))[rng.integers(0, 5, 300)] * 4 + rng.standard_normal((300, 3)) * 0.3
    points = points.astype(np.float32)
    ids = clusters_of(points, 5, library=library)
    centers = np.array([points[ids == k].mean(0) for k in range(5)])
    distances = ((points[:, None] - centers) ** 2).sum(-1)
    assert np.array_equal(ids, distances.argmin(1))
    assert np.array_equal(ids, clusters_of(points, 5, library=library))
    sampled = clusters_of(points, 5, sample=20, library=library)
    assert sampled.shape == (300,) and set(sampled) == set(range(5))


def test_too_few_tokens_and_a_missing_library_are_one_clear_line(monkeypatch):
    with pytest.raises(ValueError, match='9 clusters require as many tokens, got 4'):
        clusters_of(np.zeros((4, 2)), 9)
    with pytest.raises(ValueError, match="library must be one of auto, faiss, sklearn, got 'scipy'"):
        choose_library('scipy')
    monkeypatch.setattr('importlib.util.find_spec', lambda name: name)
    assert [choose_library(word) for word in ('auto', 'faiss', 'sklearn')] == ['faiss', 'faiss', 'sklearn']
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert choose_library('auto') == choose_library('sklearn') == 'sklearn'
    with pytest.raises(ValueError, match='faiss is not installed'):
        choose_library('faiss')


def test_labels_take_the_nearest_pixel_first_to_448_and_then_to_100():
    rng = np.random.default_rng(2)
    stored = rng.integers(0, 21, (375, 500), dtype=np.uint8)
    image = Image.fromarray(rng.integers(0, 256, (375, 500, 3), dtype=np.uint8))
    large = np.asarray(squash(image, Image.fromarray(stored), 448)[1])
    rows, columns = (np.floor((np.arange(448) + 0.5) * side / 448).astype(int) for side in stored.shape)
    assert np.array_equal(large, stored[rows][:, columns])
    small = shrink_labels(torch.from_numpy(large.copy())[None], 100)[0]
    step = np.float32(448) / np.float32(100)
    picked = np.floor(np.arange(100, dtype=np.float32) * step).astype(int)
    assert small.dtype == torch.uint8 and np.array_equal(small, large[picked][:, picked])


def test_the_linear_head_is_a_classifier_of_enlarged_features():
    torch.manual_seed(0)
    head, features = LinearHead(5, 3), torch.randn(2, 5, 4, 4)
    enlarged = F.interpolate(features, size=(10, 10), mode='bilinear', align_corners=False)
    assert torch.allclose(head(features, 10), head.classifier(enlarged), atol=1e-5)


def test_the_fcn_head_has_the_layers_of_the_reference_and_no_norm():
    head = FCNHead(384, 21)
    shapes = {tuple(weight.shape) for weight in head.parameters() if weight.ndim == 4}
    assert shapes == {(512, 384, 3, 3), (512, 512, 3, 3), (512, 896, 3, 3), (21, 512, 1, 1)}
    assert sum(weight.numel() for weight in head.parameters()) == 9 * 512 * (384 + 512 + 896) + 3 * 512 + 21 * 513
    assert FCNHead(8, 3, channels=4)(torch.randn(1, 8, 2, 2), 6).shape == (1, 3, 6, 6)
