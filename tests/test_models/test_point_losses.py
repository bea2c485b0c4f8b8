"""The contrast of points and the distillation of affinities, each written out by hand in float64."""

import math
import sys

import pytest
import torch
import torch.nn.functional as F

from mmdecouple.models import PointAffinity, affinity_distillation, point_contrast
from mmdecouple.models.point_grid import PointPairs, interpolation


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def contrast_by_hand(query, key, positive, temperature):
    losses = []
    for image in range(len(query)):
        inside = [j for j in range(key.shape[1]) if positive[image, j]]
        if not inside:
            continue
        terms = []
        for q in query[image]:
            total = sum(torch.exp(q @ k / temperature) for k in key.flatten(0, 1))
            terms += [-torch.log(torch.exp(q @ key[image, j] / temperature) / total) for j in inside]
        losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses)


@pytest.mark.parametrize('chunk', [2**25, 40, 1])
def test_point_contrast_and_its_gradient_equal_the_formula(chunk, monkeypatch):
    monkeypatch.setattr(sys.modules['mmdecouple.models.losses.point_contrast'], '_CHUNK_ELEMENTS', chunk)
    torch.manual_seed(0)
    query, key = unit(3, 4, 5).requires_grad_(), unit(3, 6, 5)
    positive = torch.tensor([[1, 1, 0, 0, 1, 0], [0] * 6, [1] * 6]).bool()
    expected = contrast_by_hand(query, key, positive, 0.2)
    (exact,) = torch.autograd.grad(3 * expected, query)
    value = point_contrast(query, key, positive, 0.2)
    (gradient,) = torch.autograd.grad(3 * value, query)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, exact)
    assert not gradient[1].any()


def test_two_points_and_their_region_by_numbers():
    # One image, one point (1, 0); keys (1, 0) of its region and (0, 1) of another: -log(e^5 / (e^5 + 1)) at 0.2.
    value = point_contrast(
        torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[True, False]]), 0.2
    )
    assert value.item() == pytest.approx(math.log1p(math.exp(-5)), rel=1e-4)


def test_a_batch_without_a_common_region_gives_a_zero_with_a_gradient():
    query = unit(2, 3, 4).requires_grad_()
    value = point_contrast(query, unit(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool), 0.2)
    value.backward()
    assert value.item() == 0 and not query.grad.any()


def affinity_case():
    torch.manual_seed(0)
    batch_size, side, channels = 3, 5, 7
    student, teacher = (torch.randn(batch_size, 6, channels, dtype=torch.float64) for _ in range(2))
    center, weights = torch.randn(channels, dtype=torch.float64), interpolation(2, 3, side, student)
    own, other = (
        torch.tensor([[0, 0, 60, 50, 0, 100, 120]] * 3, dtype=torch.float64),
        torch.tensor(
            [[10, 5, 50, 60, 1, 100, 120], [0, 0, 60, 50, 0, 100, 120], [61, 51, 20, 20, 0, 100, 120]],
            dtype=torch.float64,
        ),
    )
    pairs = PointPairs.between(own, other, (32, 48), side, 0.5)
    return student, teacher, center, weights, pairs


def distillation_by_hand(student, teacher, center, weights, pairs, student_temperature, teacher_temperature):
    terms, logits = [], []
    paired = pairs.select(slice(None))
    for b, i, j in paired.nonzero().tolist():
        s, t = weights[i] @ student[b], weights[j] @ teacher[b]
        target = torch.softmax((t - center) / teacher_temperature, 0)
        terms.append(-(target * torch.log_softmax(s / student_temperature, 0)).sum())
        logits.append(t)
    return sum(terms) / len(terms), sum(logits) / len(logits), len(terms)


@pytest.mark.parametrize('chunk', [2**24, 400, 1])
def test_distillation_and_its_gradient_equal_the_sum_over_pairs(chunk, monkeypatch):
    monkeypatch.setattr(sys.modules['mmdecouple.models.losses.affinity_distillation'], '_CHUNK_ELEMENTS', chunk)
    student, teacher, center, weights, pairs = affinity_case()
    student.requires_grad_()
    arguments = teacher, center, weights, pairs, 0.1
    expected, _, number = distillation_by_hand(student, *arguments, 0.04)
    counts = pairs.select(slice(None)).sum((1, 2))
    assert number > 20 and counts[2] == 0 < counts[0] != counts[1]
    (exact,) = torch.autograd.grad(3 * expected, student)
    value = affinity_distillation(student, *arguments, torch.tensor(0.04))
    (gradient,) = torch.autograd.grad(3 * value, student)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, exact, rtol=1e-6, atol=1e-8)


def test_distillation_by_numbers():
    # One position, one point, one pair: softmax((ln 3 - 0) / 1, 0) = (3/4, 1/4) against equal logits: ln 2.
    one = PointPairs(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    arguments = torch.zeros(2), torch.ones(1, 1), one, 0.5, torch.tensor(1.0)
    teacher = torch.tensor([[[math.log(3), 0.0]]])
    assert affinity_distillation(torch.zeros(1, 1, 2), teacher, *arguments).item() == pytest.approx(math.log(2))
    # Against logits (1, 0) at temperature 0.5: 3/4 log(1 + e^-2) + 1/4 log(1 + e^2).
    student = torch.tensor([[[1.0, 0.0]]])
    expected = 0.75 * math.log1p(math.exp(-2)) + 0.25 * math.log1p(math.exp(2))
    assert affinity_distillation(student, teacher, *arguments).item() == pytest.approx(expected)


def test_views_without_pairs_give_a_zero_with_a_gradient():
    far = PointPairs(torch.full((2, 3, 3), 9.0), torch.full((2, 3, 3), 9.0))
    student = torch.randn(2, 4, 5).requires_grad_()
    value = affinity_distillation(
        student, torch.randn(2, 4, 5), torch.zeros(5), interpolation(2, 2, 3, student), far, 0.1, torch.tensor(0.04)
    )
    value.backward()
    assert value.item() == 0 and not student.grad.any()


def test_distillation_is_computed_in_float32_under_autocast():
    student, teacher, center, weights, pairs = affinity_case()
    arguments = teacher.float(), center.float(), weights.float(), PointPairs(*(part.float() for part in pairs)), 0.1
    expected = affinity_distillation(student, teacher, center, weights, pairs, 0.1, torch.tensor(0.04))
    with torch.autocast('cpu', torch.bfloat16):
        value = affinity_distillation(student.float(), *arguments, torch.tensor(0.04))
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_center_follows_the_mean_logits_of_all_pairs():
    student, teacher, center, weights, pairs = affinity_case()
    affinity = PointAffinity(points=4, prototypes=3, center_momentum=0.9).double()
    expected = torch.zeros(7, dtype=torch.float64)
    _, mean, _ = distillation_by_hand(student, teacher, center, weights, pairs, 0.1, 0.04)
    for _ in range(3):
        # Center.update takes in float32.
        affinity.center.value = affinity.center.value.float()
        affinity.update(teacher, weights, pairs)
        expected = 0.9 * expected + 0.1 * mean
    torch.testing.assert_close(affinity.center.value.double(), expected, rtol=1e-5, atol=1e-6)
