"""Sliding windows against drawn images, and their pooling against the definition of precise RoI pooling."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmdecouple.datasets.transforms import MultiView, PackViews
from mmdecouple.models.windows import pair_windows, pool_windows, sliding_windows
from mmdecouple.registry import TRANSFORMS


def interpolated(plane: Tensor, x: float, y: float) -> float:
    """Bilinear interpolation of a map (h, w) whose cell (i, j) is at x = j, y = i; 0 beyond."""
    total = 0.0
    for i, j in ((a, b) for a in range(plane.shape[0]) for b in range(plane.shape[1])):
        total += max(1 - abs(x - j), 0) * max(1 - abs(y - i), 0) * float(plane[i, j])
    return total


def pieces(start: float, end: float) -> list[tuple[float, float]]:
    """Point and weight of two-point Gauss quadrature between whole numbers, where the interpolation is linear."""
    marks = sorted({start, end, *(float(k) for k in range(-1, 20) if start < k < end)})
    found = []
    for low, high in pairwise(marks):
        middle, half = (low + high) / 2, (high - low) / 2
        found += [(middle - half / 3**0.5, half), (middle + half / 3**0.5, half)]
    return found


def defined(plane: Tensor, box: list[float]) -> float:
    """The integral of the interpolation over a box, divided by the box's area."""
    x1, y1, x2, y2 = box
    integral = sum(
        weight_x * weight_y * interpolated(plane, x, y)
        for x, weight_x in pieces(x1, x2)
        for y, weight_y in pieces(y1, y2)
    )
    return integral / ((x2 - x1) * (y2 - y1))


BOXES = [[0.0, 0.0, 3.0, 3.0], [0.4, 1.3, 2.9, 1.6], [3.2, 0.0, 6.0, 5.0], [2.0, 1.5, 2.25, 4.75], [5.5, 4.2, 6.0, 5.0]]


def test_pooling_is_the_integral_of_the_interpolation(monkeypatch):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    boxes = torch.tensor(BOXES, dtype=torch.float64)
    means = [[[defined(plane, box) for plane in planes] for box in BOXES] for planes in maps]
    expected = torch.tensor(means, dtype=torch.float64)
    share = boxes / torch.tensor([6.0, 5.0] * 2, dtype=torch.float64)
    torch.testing.assert_close(pool_windows(maps, share), expected.float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pool_windows(maps, share.expand(2, -1, -1)), expected.float(), rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(Tensor, 'float', Tensor.double)
    torch.testing.assert_close(pool_windows(maps, share), expected, rtol=1e-12, atol=1e-12)


@given(
    corner=st.tuples(st.floats(0, 0.6), st.floats(0, 0.6)),
    side=st.tuples(st.floats(0.05, 0.3), st.floats(0.05, 0.3)),
    slope=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
)
@settings(max_examples=60, deadline=None)
def test_the_mean_of_a_plane_is_its_value_at_the_center(corner, side, slope):
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(12.0), indexing='ij')
    plane = slope[0] * columns + slope[1] * rows + 1
    box = torch.tensor([[*corner, corner[0] + side[0], corner[1] + side[1]]]).clamp(max=0.9)
    center = (box[0, :2] + box[0, 2:]) / 2 * torch.tensor([12, 10])
    expected = slope[0] * center[0] + slope[1] * center[1] + 1
    assert pool_windows(plane[None, None], box).item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-3)


def test_pooling_under_autocast_is_in_float32():
    maps, box = torch.randn(1, 2, 6, 6), torch.tensor([[0.1, 0.2, 0.7, 0.8]])
    plain = pool_windows(maps, box)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(pool_windows(maps, box), plain)


@pytest.mark.parametrize('view, size, stride, count', [(224, 48, 32, 36), (224, 32, 24, 64), (48, 24, 8, 9)])
def test_windows_slide_over_the_view_and_end_before_its_last_pixel(view, size, stride, count):
    windows = sliding_windows((view, view), size, stride)
    places = [place for place in range(0, view, stride) if place + size < view]
    expected = [[x, y, x + size, y + size] for y in places for x in places]
    assert windows.tolist() == expected and len(expected) == count


def test_a_wide_view_has_more_windows_in_a_row():
    assert sliding_windows((20, 50), 16, 12)[:, :2].tolist() == [[0, 0], [12, 0], [24, 0]]


CROP = dict(type='RandomResizedCropView', size=(80, 96), scale=(0.3, 1.0))
FLIP = dict(type='RandomFlipView', prob=0.5)


def drawn(image: np.ndarray, once: bool) -> dict:
    """Two views of an image that is mirrored once, or of which each view is mirrored independently."""
    pipeline = [CROP] if once else [CROP, FLIP]
    results = dict(img=image, ori_shape=image.shape[:2])
    for step in [TRANSFORMS.build(FLIP)] * once:
        results = step(results)
    return PackViews()(MultiView([pipeline], [2])(results))


@pytest.mark.parametrize('once', [True, False], ids=['source mirrored', 'views mirrored'])
def test_both_views_show_the_same_part_of_the_image_in_a_pair_of_windows(once):
    torch.manual_seed(0)
    np.random.seed(0)
    rows, columns = np.mgrid[:200, :250]
    image = np.stack([columns, rows, (columns // 10 + rows // 10) % 2 * 255], axis=-1).astype(np.uint8)
    compared, flips = 0, set()
    for _ in range(30):
        sample = drawn(image, once)
        geometry = sample['data_samples'].geometry
        flips.add(tuple(geometry[:, 4].tolist()))
        pairs = pair_windows(sliding_windows((80, 96), 16, 12), geometry[:, None], (80, 96), (80, 96))
        for index in pairs.shown.tolist():
            query, key = (
                (box * torch.tensor([96, 80] * 2)).round(decimals=3)
                for box in (pairs.query[index], pairs.key[0, index])
            )
            assert (key[:2] >= 0).all() and key[2] < 96 and key[3] < 80
            means = [
                view[:2, int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))].float().mean((1, 2))
                for view, (x1, y1, x2, y2) in zip(sample['inputs'], (query.tolist(), key.tolist()))
            ]
            # Whole pixels instead of parts of a pixel shift the mean by at most half a pixel of the key view.
            assert (means[0] - means[1]).abs().max() < 0.5 * geometry[1, 2:4].max() / 80 + 1.5
            compared += 1
    assert compared > 100 and flips == ({(0, 0), (1, 1)} if once else {(0, 0), (0, 1), (1, 0), (1, 1)})


def test_windows_that_the_key_view_does_not_show_completely_are_omitted():
    windows = sliding_windows((40, 40), 16, 12)
    # The key view is the right half of what the query view shows, which is mirrored.
    geometry = torch.tensor([[[0, 0, 40, 40, 1, 40, 40.0]], [[20, 0, 20, 40, 0, 40, 40.0]]])
    pairs = pair_windows(windows, geometry, (40, 40), (40, 40))
    # Query columns 0 to 16 are source columns 24 to 40, and end with the key view; 12 to 28 begin before it.
    assert windows[:2, 0].tolist() == [0, 12] and pairs.shown.tolist() == []
    geometry[1, 0, 2] = 22
    pairs = pair_windows(windows, geometry, (40, 40), (40, 40))
    assert pairs.shown.tolist() == [0, 2]
    expected = [(24 - 20) / 22, 0, (40 - 20) / 22, 16 / 40]
    assert pairs.key[0, 0].tolist() == pytest.approx(expected, abs=1e-6)


@given(
    left=st.integers(0, 100),
    top=st.integers(0, 60),
    width=st.integers(30, 120),
    height=st.integers(30, 90),
    flip=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_equal_views_show_every_window_where_it_is(left, top, width, height, flip):
    geometry = torch.tensor([left, top, width, height, flip, 300, 300.0]).expand(2, 3, 7)
    windows = sliding_windows((48, 64), 16, 12)
    pairs = pair_windows(windows, geometry, (48, 64), (48, 64))
    assert pairs.shown.tolist() == list(range(3 * len(windows)))
    torch.testing.assert_close(pairs.key, pairs.query.expand(3, -1, -1), rtol=0, atol=1e-6)
