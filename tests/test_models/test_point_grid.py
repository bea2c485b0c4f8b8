"""Points of views: their regions by drawing, their features, draws and pairs by brute force."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmdecouple.models import point_grid
from mmdecouple.models.point_grid import PointPairs, at_points, draw_points, interpolation, region_labels
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.geometry import view_to_source


def geometries(count: int, seed: int = 0) -> torch.Tensor:
    """Random windows of images of 120 x 160 pixels, half of them mirrored, (count, 7)."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(count, 4, generator=generator)
    size = 30 + draw[:, :2] * torch.tensor([120.0, 80.0])
    corner = draw[:, 2:] * (torch.tensor([160.0, 120.0]) - size)
    flip = torch.arange(count) % 2
    return torch.cat([corner, size, flip[:, None], torch.tensor([[120.0, 160.0]]).expand(count, 2)], dim=1)


@pytest.mark.parametrize('height, width', [(120, 160), (161, 97)])
def test_regions_are_those_that_the_view_shows(height, width):
    # Each region of the image has a gray value of its own; the view's pixel at a point shows it.
    torch.manual_seed(0)
    np.random.seed(0)
    rows, columns = (np.minimum(4 * (np.arange(side) + 0.5) / side, 3.99).astype(int) for side in (height, width))
    image = np.repeat((15 * (4 * rows[:, None] + columns)).astype(np.uint8)[:, :, None], 3, axis=2)
    steps = [
        TRANSFORMS.build(dict(type=kind, **more))
        for kind, more in (('RandomResizedCropView', dict(size=224)), ('RandomFlipView', {}))
    ]
    flips = set()
    for _ in range(20):
        view = dict(img=image)
        for step in steps:
            view = step(view)
        geometry = torch.tensor([[*view['crop_window'], view['flip'], height, width]], dtype=torch.float32)
        labels = region_labels(geometry, (224, 224), 28, 4)[0].view(28, 28)
        # A point between two pixels that show different regions lies on a border: left out.
        shown = torch.from_numpy(view['img'][:, :, 0].copy()).float()
        middle = shown.unfold(0, 8, 8).unfold(1, 8, 8)
        inside = middle.amax((2, 3)) == middle.amin((2, 3))
        assert inside.float().mean() > 0.6
        assert torch.equal(15 * labels[inside], middle[..., 0, 0][inside].long())
        flips.add(view['flip'])
    assert flips == {False, True}


def test_features_of_points_are_interpolated_as_an_image_is():
    torch.manual_seed(0)
    dense = torch.randn(3, 15, 4, dtype=torch.float64)
    enlarged = F.interpolate(dense.transpose(1, 2).unflatten(2, (3, 5)), (9, 9), mode='bilinear', align_corners=False)
    weights = interpolation(3, 5, 9, dense)
    torch.testing.assert_close(at_points(weights, dense), enlarged.flatten(2).transpose(1, 2))
    torch.testing.assert_close(weights.sum(1), torch.ones(81, dtype=torch.float64))


def test_a_point_at_the_center_of_a_position_has_its_features():
    dense = torch.randn(1, 4, 3)
    torch.testing.assert_close(at_points(interpolation(2, 2, 6, dense), dense)[0, [7, 10, 25, 28]], dense[0])


@pytest.mark.parametrize('chunk', [2**23, 300])
@pytest.mark.parametrize('reach', [0.5, 1.3])
def test_pairs_are_the_points_that_lie_close_in_the_image(chunk, reach, monkeypatch):
    monkeypatch.setattr(point_grid, '_CHUNK_ELEMENTS', chunk)
    first, second, side, view = geometries(6), geometries(6, seed=1), 7, (64, 48)
    pairs = PointPairs.between(first, second, view, side, reach)
    ours = pairs.select(slice(None))
    expected = torch.zeros(6, side**2, side**2)
    for image, (own, other) in enumerate(zip(first.double(), second.double())):
        cell = max(float((geometry[2:4] / side).norm()) for geometry in (own, other))
        grid = torch.tensor([[(x + 0.5) * 48 / side, (y + 0.5) * 64 / side] for y in range(side) for x in range(side)])
        places = [view_to_source(grid.double(), geometry, view) for geometry in (own, other)]
        for i, place in enumerate(places[0]):
            for j, there in enumerate(places[1]):
                expected[image, i, j] = float((place - there).norm()) < reach * cell
    assert torch.equal(ours, expected) and 0 < expected.mean() < 0.2
    assert torch.equal(pairs.select(slice(5, 9)), expected[:, :, 5:9])
    assert torch.equal(pairs.second_counts(), expected.sum(1))


def test_a_view_and_itself_pair_each_point_with_itself_and_a_mirrored_one_with_its_image():
    own = geometries(1)
    mirrored = own.clone()
    mirrored[:, 4] = 1 - own[:, 4]
    assert torch.equal(PointPairs.between(own, own, (32, 32), 5, 0.3).select(slice(None))[0], torch.eye(25))
    swapped = torch.arange(25).view(5, 5).flip(1).flatten()
    assert torch.equal(
        PointPairs.between(own, mirrored, (32, 32), 5, 0.3).select(slice(None))[0], torch.eye(25)[swapped]
    )


def labels_of(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def drawn(first, second, count=40, others=200, regions=6, seed=0):
    return draw_points(first, second, count, others, regions, torch.Generator().manual_seed(seed))


def test_points_are_drawn_in_a_common_region_and_in_others():
    first, second = labels_of([0, 0, 1, 2, 2, 3]), labels_of([5, 2, 2, 2, 1, 4])
    chosen = set()
    for seed in range(30):
        points = drawn(first, second, seed=seed)
        (region,) = set(first[0, points.query[0]].tolist())
        chosen.add(region)
        assert points.query.shape == (1, 40) and points.key.shape == points.positive.shape == (1, 240)
        assert torch.equal(points.positive[0], second[0, points.key[0]] == region)
        assert points.positive[0, :40].all() and not points.positive[0, 40:].any()
    assert chosen == {1, 2}


def test_other_regions_are_equally_frequent_however_large_they_are():
    first, second = labels_of([0] * 9), labels_of([0, 1, 2, 2, 2, 2, 2, 2, 3])
    points = drawn(first, second, others=9000)
    regions = second[0, points.key[0, 40:]]
    assert (regions.bincount(minlength=4) / 9000).tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.02)
    assert (points.key[0, 40:].bincount(minlength=9)[2:8] / 9000).tolist() == pytest.approx([1 / 18] * 6, abs=0.01)


def test_views_without_a_common_region_have_no_positive_point():
    points = drawn(labels_of([0, 0, 1]), labels_of([2, 3, 3]))
    assert not points.positive.any() and int(points.query.max()) < 3
    assert len(set(labels_of([0, 0, 1])[0, points.query[0]].tolist())) == 1


def test_a_key_inside_one_region_has_positive_points_only():
    assert drawn(labels_of([2, 1, 1]), labels_of([1, 1, 1])).positive.all()


def test_draws_depend_on_the_generator_alone():
    first, second = (torch.randint(4, (5, 30), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    one, same, other = (drawn(first, second, seed=seed) for seed in (3, 3, 4))
    assert all(map(torch.equal, one, same)) and not torch.equal(one.key, other.key)


def test_no_negative_points_can_be_asked_for():
    points = drawn(labels_of([1, 0]), labels_of([0, 1]), others=0)
    assert points.key.shape == (1, 40) and points.positive.all()
