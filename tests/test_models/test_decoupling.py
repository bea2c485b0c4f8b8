"""The branch: composition, alignments and weighting, against loops and against the contracts of the package."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdecouple.decoupling import ALIGNMENTS, DecouplingBranch, PositionSet
from mmdecouple.decoupling.composition import draw_partners, draw_rows

from .conftest import BRANCH


def branch(**kwargs) -> DecouplingBranch:
    return DecouplingBranch(**{**{k: v for k, v in BRANCH.items() if k != 'type'}, **kwargs})


def views(count: int = 1, size: int = 8, pixels: int = 32) -> list[torch.Tensor]:
    return [torch.randn(size, 3, pixels, pixels) for _ in range(count)]


class Objective:
    """A dense loss of matched positions, with targets as they come."""

    linear_in_target = False

    def __init__(self, loss):
        self.dense_loss = loss

    @staticmethod
    def dense_target(features):
        return features


class LinearObjective(Objective):
    """A cross-entropy, linear in targets that are made from features."""

    linear_in_target = True

    def __init__(self):
        super().__init__(lambda student, target: -(target * student.log_softmax(-1)).sum(-1))

    @staticmethod
    def dense_target(features):
        return features.softmax(-1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=60)
@given(size=st.integers(2, 40), count=st.integers(1, 3), other=st.booleans(), seed=st.integers(0, 2**20))
def test_a_partner_is_another_image_of_the_view_asked_for(size, count, other, seed):
    rng = generator(seed)
    rows = draw_rows(size, count, max(size // 2, 1), rng)
    partners = draw_partners(rows, size, count, other, rng)
    assert (rows % size != partners % size).all()
    assert ((rows // size + other) % count == partners // size).all()
    assert len(rows.unique()) == len(rows)


@pytest.mark.parametrize('stride', [None, 4])
def test_decoupled_views_mix_pixels_where_the_mask_is_cut(stride):
    keys = views(2)
    made = branch(mask_stride=stride, ratio=1.0).compose(keys, (4, 4), generator())
    stacked, cell = torch.cat(keys), 8 if stride is None else stride
    assert len(made.images) == 8
    for d in range(len(made.images)):
        for y in range(0, 32, 4):
            for x in range(0, 32, 4):
                source = made.partners if made.cut_mask[d, y // cell, x // cell] else made.rows
                assert torch.equal(made.images[d, :, y, x], stacked[source[d], :, y, x])
    assert 0 < made.cut_mask.float().mean() < 1


def test_the_control_leaves_the_key_view_as_it_is():
    keys = views()
    made = branch(background='none').compose(keys, (4, 4), generator())
    assert torch.equal(made.images, keys[0][made.rows])
    assert made.cut_mask.any()


@pytest.mark.parametrize(
    'background, partner_view, shift', [('partner', 'same', 0), ('partner', 'other', 1), ('none', 'same', None)]
)
def test_the_background_is_another_image_of_the_chosen_view(background, partner_view, shift):
    made = branch(background=background, partner_view=partner_view, ratio=2.0).compose(views(2), (4, 4), generator())
    if shift is None:
        assert torch.equal(made.partners, made.rows)
        return
    assert (made.partners % 8 != made.rows % 8).all()
    assert torch.equal(made.partners // 8, (made.rows // 8 + shift) % 2)


@pytest.mark.parametrize(
    'size, count, ratio, per_view',
    [(8, 1, 0.25, 2), (8, 2, 0.25, 1), (8, 2, 2.0, 8), (3, 1, 0.25, 1), (10, 2, 0.5, 2), (2, 2, 0.1, 1)],
)
def test_the_ratio_is_the_number_of_decoupled_views_an_image(size, count, ratio, per_view):
    made = branch(ratio=ratio).compose(views(count, size), (4, 4), generator())
    assert torch.bincount(made.rows // size, minlength=count).tolist() == [per_view] * count


def test_half_swaps_foreground_and_cut_in_the_second_half_of_each_view():
    plain = branch(ratio=1.0).compose(views(2), (4, 4), generator(3)).cut_mask
    half = branch(ratio=1.0, foreground='half').compose(views(2), (4, 4), generator(3)).cut_mask
    swapped = torch.tensor([False, False, True, True] * 2)
    assert torch.equal(half, plain ^ swapped[:, None, None])


def test_one_seed_gives_one_batch_and_another_seed_another():
    keys = views()
    first, again, other = (branch().compose(keys, (4, 4), generator(s)) for s in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4]))
    assert torch.equal(first.foreground.positions, again.foreground.positions)
    assert not torch.equal(first.images, other.images)


def test_foreground_of_a_finer_mask_needs_half_of_the_position():
    cut = torch.zeros(1, 4, 4, dtype=torch.bool)
    cut[0, :2, 0] = True
    cut[0, 2:, 2:] = True
    cut[0, 2, 2] = False
    assert DecouplingBranch.foreground_of(cut, (2, 2)).tolist() == [[1, 1, 1, 0]]
    assert torch.equal(DecouplingBranch.foreground_of(cut, (4, 4)), (~cut).float().flatten(1))


@settings(deadline=None, max_examples=30)
@given(views=st.integers(1, 4), positions=st.integers(1, 9), seed=st.integers(0, 2**20))
def test_positions_and_weights_of_a_set_agree_with_its_mask(views, positions, seed):
    share = (torch.rand(views, positions, generator=generator(seed)) < 0.5).float()
    foreground = PositionSet.of(share)
    rebuilt = torch.zeros(views * positions)
    rebuilt[foreground.positions] = 1
    assert torch.equal(rebuilt.view(views, positions), share)
    assert foreground.max_per_view == max(int(row.sum()) for row in share)
    torch.testing.assert_close(foreground.weight.sum(1), share.amax(1) / views)


@pytest.mark.parametrize('linear', [False, True])
def test_alignments_equal_their_formulas_written_as_loops(linear):
    torch.manual_seed(0)
    student, target = torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    share = torch.tensor([[1.0, 0, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    objective = LinearObjective() if linear else Objective(lambda a, b: ((a - b) ** 2).sum(-1).sqrt())

    def loss(a, b):
        return objective.dense_loss(a, objective.dense_target(b))

    expected = dict.fromkeys(ALIGNMENTS, 0.0)
    for d in range(2):
        inside = [j for j in range(5) if share[d, j]]
        s, t = student[d, inside].double(), target[d, inside].double()
        expected['point_to_point'] += sum(loss(a, b) for a, b in zip(s, t)) / len(inside) / 3
        expected['average'] += loss(s.mean(0), t.mean(0)) / 3
        expected['point_to_all'] += sum(loss(a, b) for a in s for b in t) / len(inside) ** 2 / 3
    for name, align in ALIGNMENTS.items():
        value = align(student, target, PositionSet.of(share), objective)
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('objective', [Objective(lambda a, b: ((a - b) ** 2).sum(-1)), LinearObjective()])
@pytest.mark.parametrize('alignment', list(ALIGNMENTS))
def test_without_foreground_the_loss_is_a_zero_attached_to_the_graph(alignment, objective):
    one = branch(alignment=alignment)
    made = one.compose(views(), (4, 4), generator())
    nowhere = PositionSet.of(torch.zeros(len(made.rows), 16))
    student = torch.randn(len(made.rows), 16, 4, requires_grad=True)
    losses = one({}, student, torch.randn(len(made.rows), 16, 4), nowhere, objective)
    losses['loss_decoupling'].backward()
    assert losses['loss_decoupling'].item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


@pytest.mark.parametrize('weighting, keep', [('convex', 0.75), ('additive', 1.0)])
def test_weights_of_base_and_decoupling_loss(weighting, keep):
    one = branch(weighting=weighting, loss_weight=0.25)
    made = one.compose(views(), (4, 4), generator())
    student = torch.randn(len(made.rows), 16, 4)
    losses = one(
        dict(loss_a=torch.tensor(2.0)),
        student,
        student + 1,
        made.foreground,
        Objective(lambda a, b: (a - b).abs().mean(-1)),
    )
    assert losses['loss_a'].item() == pytest.approx(2 * keep)
    assert losses['decoupling'].item() == pytest.approx(1, abs=1e-5)
    assert losses['loss_decoupling'].item() == pytest.approx(0.25, abs=1e-5)
    assert losses['foreground_share'].item() == pytest.approx((~made.cut_mask).float().mean().item())


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(alignment='nearest'), 'alignment must be one of point_to_point, average, point_to_all'),
        (dict(weighting='sum'), 'weighting must be one of'),
        (dict(loss_weight=1.2), r'loss_weight must lie in \[0, 1\], got 1.2'),
        (dict(mixing='token'), 'mixing must be one of pixel, embedding'),
        (dict(partner_view='any'), 'partner_view must be one of same, other'),
        (dict(ratio=0), 'ratio must be a number above 0, got 0'),
        (dict(mask=dict(type='RegionCollaborativeCutout', cut_ratio=1.4)), r'cut_ratio.*1\.4'),
        (dict(mask=dict(type='RegionCollaborativeCutout', preset='papers')), 'papers'),
        (dict(mask=dict(type='RegionCollaborativeCutout', grid=0)), 'grid'),
    ],
)
def test_bad_settings_give_one_line_with_the_config_key(kwargs, words):
    with pytest.raises(ValueError, match=words) as caught:
        branch(**kwargs)
    assert '\n' not in str(caught.value)
    assert 'model.decoupling' in str(caught.value)


@pytest.mark.parametrize(
    'kwargs, dense, words',
    [
        (dict(), (5, 5), 'does not divide a view of 32 x 32'),
        (dict(mask_stride=5), (4, 4), 'mask cell of 5 pixels does not divide'),
        (dict(mask_stride=16), (4, 4), 'does not divide into a dense output of 4 x 4'),
    ],
)
def test_a_mask_that_does_not_fit_names_both_sizes(kwargs, dense, words):
    with pytest.raises(ValueError, match=words):
        branch(**kwargs).compose(views(), dense, generator())


def test_a_grid_finer_than_the_mask_names_its_config_key():
    one = branch(mask=dict(type='RegionCollaborativeCutout', grid=5))
    with pytest.raises(ValueError, match=r'4 x 4 cells, got 5 .config key model\.decoupling\.mask\.grid'):
        one.compose(views(), (4, 4), generator())


def test_a_batch_of_one_is_refused():
    with pytest.raises(ValueError, match='batch of one image.*train_dataloader.batch_size'):
        branch().compose(views(size=1), (4, 4), generator())
