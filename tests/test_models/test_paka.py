"""PaKA and PaKA-D against kernel alignment written out in float64, and its invariances."""

import pytest
import torch

from mmdecouple.models.losses import kernel_alignment
from mmdecouple.models.overlap import align

from .conftest import BRANCH, begun, build, forwarded, losses_of
from .test_leopart import data, leopart

BRANCH = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}


def paka(**kwargs) -> dict:
    """A small PaKA: views of 56 and 24 pixels, patches of 8, no head."""
    return {**dict(type='PaKA', local_views=2, backbone=leopart()['backbone']), **kwargs}


def cka(first, second):
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with linear kernels and the centering matrix, in float64."""
    kernels = [features.double() @ features.double().T for features in (first, second)]
    center = torch.eye(len(first), dtype=torch.float64) - 1 / len(first)

    def hsic(one, other):
        return torch.trace(one @ center @ other @ center)

    return hsic(*kernels) / (hsic(kernels[0], kernels[0]) * hsic(kernels[1], kernels[1])).sqrt()


def test_alignment_of_three_positions_by_hand():
    # Centered features (-1, 0, 1) and (1, -2, 1): K_ij = x_i x_j, so CKA = (x . y)^2 / (|x|^2 |y|^2) = 0; with
    # (-1, 0, 1) and (-1, -1, 2): 9 / (2 * 6) = 0.75. An added constant changes nothing.
    first = torch.tensor([[[4.0], [5.0], [6.0]]]).expand(2, -1, -1)
    second = torch.tensor([[[1.0], [-2.0], [1.0]], [[-1.0], [-1.0], [2.0]]])
    torch.testing.assert_close(kernel_alignment(first, second).mean(1), torch.tensor([0.0, 0.75]))


def test_alignment_of_a_subset_is_that_of_its_positions_alone_and_ignores_rotation_and_scale():
    torch.manual_seed(0)
    first, second, order = torch.randn(3, 12, 6), torch.randn(3, 12, 4), torch.rand(3, 12).argsort(1)
    mask = (order < torch.tensor([[12], [7], [3]])).float()
    shares = kernel_alignment(first, second, mask)
    assert not shares[mask == 0].any()
    for n in range(3):
        inside = mask[n].bool()
        expected = cka(first[n, inside], second[n, inside])
        assert shares[n, inside].mean().item() == pytest.approx(expected.item(), rel=1e-5)
    rotation = torch.linalg.qr(torch.randn(6, 6)).Q
    torch.testing.assert_close(kernel_alignment(first, 3 * first @ rotation + 1).mean(1), torch.ones(3))


def test_features_without_variation_have_a_loss_of_one_and_a_finite_gradient():
    features = torch.ones(2, 9, 4, requires_grad=True)
    shares = kernel_alignment(features, torch.randn(2, 9, 4))
    shares.sum().backward()
    assert not shares.any() and features.grad.isfinite().all()


def test_base_loss_is_one_minus_the_mean_alignment_of_the_overlaps():
    model = build(paka()).train()
    step = forwarded(model, begun(model, data(3)))
    assert step.student['dense'].shape == step.teacher['dense'].shape == (3, 49, 32)
    teacher, expected = step.teacher['dense'], []
    parts = {1: step.student['dense'], 2: step.student['local'][:3], 3: step.student['local'][3:]}
    for view, features in parts.items():
        for image in range(3):
            own, other = step.geometry[0, image], step.geometry[view, image]
            low = torch.maximum(own[:2], other[:2])
            high = torch.minimum(own[:2] + own[2:4], other[:2] + other[2:4])
            window = torch.cat([low, high])[None]
            bins = []
            for rows, geometry in ((features[image], other), (teacher[image], own)):
                side = int(len(rows) ** 0.5)
                aligned = align(rows.T.view(1, -1, side, side), window, geometry[None], 7)
                bins.append(aligned[0].flatten(1).T)
            expected.append(1 - cka(*bins).item())
    assert model.base_loss(step)['loss_overlap'].item() == pytest.approx(sum(expected) / len(expected), rel=1e-4)


def test_decoupling_loss_is_one_minus_the_mean_alignment_of_the_foreground_of_each_view():
    model = build(paka(decoupling={**BRANCH, 'ratio': 1.0})).train()
    step = begun(model, data(4))
    decoupled, expected = step.decoupled, 0
    # At the start, an untrained student gives nearly the features of its teacher.
    step.dense, clean = torch.randn(len(decoupled.rows), 49, 32), torch.randn(4, 49, 32)
    for d, row in enumerate(decoupled.rows.tolist()):
        inside = (~decoupled.cut_mask[d]).flatten()
        expected += (1 - cka(step.dense[d, inside], clean[row, inside]).item()) / len(decoupled.rows)
    losses = model.decoupling({}, step.dense, clean[decoupled.rows], model.foreground(step), model.objective(step))
    assert losses['decoupling'].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('alignment', ['average', 'point_to_all'])
def test_other_alignments_are_refused(alignment):
    with pytest.raises(ValueError, match=r"PaKA: decoupling.alignment must be 'point_to_point'"):
        build(paka(decoupling={**BRANCH, 'alignment': alignment}))


def test_training_lowers_the_loss_under_bf16():
    model = build(paka(decoupling=BRANCH)).train()
    optimizer, losses = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3), []
    for _ in range(12):
        with torch.autocast('cpu', torch.bfloat16):
            terms = losses_of(model, data(4))
        optimizer.zero_grad()
        sum(value for key, value in terms.items() if key.startswith('loss')).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
        optimizer.step()
        losses.append(terms['loss_overlap'].item())
    assert losses[-1] < losses[0]


def test_a_mirrored_view_is_aligned_in_the_orientation_of_the_source():
    maps = torch.arange(49.0).view(1, 1, 7, 7)
    window, geometry = torch.tensor([[3.0, 5, 30, 40]]), torch.tensor([[0.0, 0, 42, 42, 0, 300, 300]])
    mirrored = geometry.clone()
    mirrored[0, 4] = 1
    torch.testing.assert_close(align(maps.flip(3), window, mirrored, 5), align(maps, window, geometry, 5))
