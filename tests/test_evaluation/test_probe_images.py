"""What each probe shows to the network and what is pooled from it, pixel by pixel in plain loops."""

import math

import numpy as np
import pytest

from mmdecouple.evaluation.measures.canvas import MEAN_COLOR, boxes_mask, cells_inside, shrink_object

from .test_lsc import reflected
from .toys import CELL, SIZE, toy_probes

CELLS = SIZE // CELL


def probes_of(most=4, **measure):
    """(draw, its probes, sources) of the first draws of each role."""
    dataset = toy_probes(measures=[measure])
    draws, shown = dataset.manifest['measures'][0]['draws'], {}
    for position, (_, number, _) in enumerate(dataset.index):
        shown.setdefault(number, []).append(position)
    assert shown, 'nothing was drawn'
    seen = {}
    for number, positions in shown.items():
        draw = draws[number]
        seen[draw.get('role')] = seen.get(draw.get('role'), 0) + 1
        if seen[draw.get('role')] <= most:
            yield draw, [dataset[position] for position in positions], dataset.sources


def painted(height, width, color_at):
    """An image from a function of row and column."""
    return np.array([[color_at(y, x) for x in range(width)] for y in range(height)], np.uint8)


def check(probe, image, boxes=None, weights=None):
    assert np.array_equal(probe['inputs'].permute(1, 2, 0).numpy(), image)
    sample = probe['data_samples']
    for name, expected in (('boxes', boxes), ('weights', weights)):
        assert (name in sample) == (expected is not None)
        if expected is not None:
            np.testing.assert_allclose(np.asarray(getattr(sample, name), float), np.asarray(expected, float))


def in_box(y, x, boxes):
    """Whether a pixel lies in one of the boxes grown to whole pixels."""
    return any(math.floor(x1) <= x < math.ceil(x2) and math.floor(y1) <= y < math.ceil(y2) for x1, y1, x2, y2 in boxes)


def box_of(source, image, key):
    info = source.info(image)
    return info['boxes'][list(info['ids']).index(key)]


def test_disturbed_images_of_oknn_keep_the_drawn_boxes_alone():
    for draw, (clean, *disturbed), sources in probes_of(type='OKNN'):
        source = sources[draw['role']]
        image, other = source.pixels(draw['image']), source.pixels(draw['background'])
        check(clean, image, [box_of(source, draw['image'], key) for key in draw['objects']])
        boxes = [box_of(source, draw['image'], key) for key in draw['chosen']]
        assert len(disturbed) == 1 and not np.array_equal(image, other)
        check(disturbed[0], painted(SIZE, SIZE, lambda y, x: (image if in_box(y, x, boxes) else other)[y, x]), boxes)


def test_context_shift_swaps_all_outside_the_box_and_background_leak_shows_the_image():
    for draw, (clean, swapped), sources in probes_of(type='ContextShift'):
        image, other = sources.query.pixels(draw['image']), sources.query.pixels(draw['background'])
        boxes = [box_of(sources.query, draw['image'], draw['object'])]
        check(clean, image, boxes)
        check(swapped, painted(SIZE, SIZE, lambda y, x: (image if in_box(y, x, boxes) else other)[y, x]), boxes)
    for draw, (clean,), sources in probes_of(type='BackgroundLeak'):
        source = sources[draw['role']]
        check(clean, source.pixels(draw['image']), [box_of(source, draw['image'], draw['object'])])
        assert draw['label'] == source.background(draw['image'])


def test_inter_coupling_shows_b_right_and_a_left_without_its_first_cells():
    for draw, shown, sources in probes_of(2, type='InterCouplingRatio', pairs=5, min_side=8):
        a, b = (sources.singles.pixels(draw[name]) for name in 'ab')
        box_a, box_b = (box_of(sources.singles, draw[name], draw[f'{name}_object']) for name in 'ab')
        check(
            shown[0],
            painted(SIZE, 2 * SIZE, lambda y, x: MEAN_COLOR if x < SIZE else b[y, x - SIZE]),
            [[box_b[0] + SIZE, box_b[1], box_b[2] + SIZE, box_b[3]]],
        )
        inside = {
            row * CELLS + column for row in range(CELLS) for column in range(CELLS) if in_center(box_a, row, column)
        }
        assert set(draw['cells']) == inside and len(draw['cells']) == len(inside)
        for r in range(10):
            gone = draw['cells'][: round(r / 10 * len(draw['cells']))]

            def left(y, x, gone=gone):
                return MEAN_COLOR if y // CELL * CELLS + x // CELL in gone else a[y, x]

            check(shown[1 + r], painted(SIZE, 2 * SIZE, lambda y, x: left(y, x) if x < SIZE else MEAN_COLOR), [box_a])
            check(
                shown[11 + r], painted(SIZE, 2 * SIZE, lambda y, x: left(y, x) if x < SIZE else b[y, x - SIZE]), [box_a]
            )


def in_center(box, row, column):
    """Whether the center of a cell lies in the box."""
    return box[0] <= (column + 0.5) * CELL < box[2] and box[1] <= (row + 0.5) * CELL < box[3]


@pytest.mark.parametrize('region', ['rest', 'all_outside'])
def test_intra_coupling_replaces_the_rest_and_pools_the_part(region):
    settings = dict(type='IntraCouplingRatio', min_cells=4, min_part_cells=1, region=region)
    for draw, shown, sources in probes_of(6, **settings):
        image, other = (sources.bank.pixels(draw[name]) for name in ('image', 'background'))
        mask = sources.bank.mask(draw['image'], draw['object'])
        x1, y1, x2, y2 = box_of(sources.bank, draw['image'], draw['object'])
        below, right = divmod(draw['quadrant'], 2)

        def in_part(y, x):
            return mask[y, x] and (y >= round((y1 + y2) / 2)) == below and (x >= round((x1 + x2) / 2)) == right

        part = np.array([[in_part(y, x) for x in range(SIZE)] for y in range(SIZE)])
        assert part.any()
        rest = ~part if region == 'all_outside' else mask & ~part
        whole_cells = np.zeros_like(rest)
        for row in range(CELLS):
            for column in range(CELLS):
                cell = slice(row * CELL, (row + 1) * CELL), slice(column * CELL, (column + 1) * CELL)
                whole_cells[cell] = rest[cell].any() and not part[cell].any()
        for probes, replaced in ((shown[:2], rest), (shown[2:], whole_cells)):
            alone, swapped = probes
            check(
                alone, painted(SIZE, SIZE, lambda y, x: MEAN_COLOR if replaced[y, x] else image[y, x]), weights=[part]
            )
            check(swapped, painted(SIZE, SIZE, lambda y, x: (other if replaced[y, x] else image)[y, x]), weights=[part])


def test_lsc_pools_windows_of_the_image_and_shows_them_alone_reflected_at_the_border():
    for draw, (whole, *crops), sources in probes_of(2, type='LSC', images=2, window=3, cells=9):
        image = sources.query.pixels(draw['image'])
        places = [divmod(place, CELLS) for place in draw['places']]
        check(
            whole,
            image,
            weights=[
                [[abs(y // CELL - row) <= 1 and abs(x // CELL - column) <= 1 for x in range(SIZE)] for y in range(SIZE)]
                for row, column in places
            ],
        )
        side = 3 * CELL
        for crop, (row, column) in zip(crops, places, strict=True):
            top, left = (row - 1) * CELL, (column - 1) * CELL
            check(
                crop,
                painted(side, side, lambda y, x: image[reflected(top + y, SIZE), reflected(left + x, SIZE)]),
                weights=np.ones((1, side, side)),
            )


def test_the_spurious_share_puts_a_foreign_strip_on_one_side_in_whole_cells():
    seen, width = set(), 2 * CELL  # round(0.35 * 7) cells
    far = {'left': lambda y, x: x, 'right': lambda y, x: SIZE - 1 - x}
    far |= {'top': lambda y, x: y, 'bottom': lambda y, x: SIZE - 1 - y}
    for draw, (beside, alone, foreign), sources in probes_of(most=10, type='SpuriousShare'):
        image, other = sources.query.pixels(draw['image']), sources.query.pixels(draw['background'])
        distance = far[draw['side']]
        seen.add(draw['side'])
        cells = [(row, column) for row in range(CELLS) for column in range(CELLS)]
        ones = [[[float((row, column) == cell) for column in range(CELLS)] for row in range(CELLS)] for cell in cells]
        inside = [distance(row * CELL, column * CELL) < width for row, column in cells]
        strip = [mask for mask, within in zip(ones, inside) if within]
        own = [mask for mask, within in zip(ones, inside) if not within]
        mixed = painted(SIZE, SIZE, lambda y, x: (other if distance(y, x) < width else image)[y, x])
        check(beside, mixed, weights=ones)
        check(alone, image, weights=own)
        check(foreign, other, weights=strip)
        assert draw['background'] != draw['image'] and len(strip) == 2 * CELLS
    assert len(seen) > 2


def test_the_color_of_what_is_removed_is_the_mean_of_imagenet():
    assert MEAN_COLOR.tolist() == [round(255 * mean) for mean in (0.485, 0.456, 0.406)] and MEAN_COLOR.dtype == np.uint8


def test_boxes_grow_to_whole_pixels_and_cells_count_by_their_center():
    boxes = np.array([[3.2, 4.7, 10.1, 9.0], [30.0, 20.5, 41.5, 30.2]], np.float32)
    expected = [[in_box(y, x, boxes) for x in range(SIZE)] for y in range(SIZE)]
    assert np.array_equal(boxes_mask(boxes, SIZE), expected)
    # Its edges run through centers of cells: the first ones are inside, the last ones are not.
    box = np.array([4.0, 12.0, 20.0, 28.0])
    expected = [row * CELLS + column for row in range(CELLS) for column in range(CELLS) if in_center(box, row, column)]
    assert cells_inside(box, SIZE, CELL).tolist() == expected == [7, 8, 14, 15]
    assert cells_inside(np.array([5.0, 5.0, 11.0, 7.0]), SIZE, CELL).tolist() == [0, 1], 'no center: all it touches'


def test_a_shrunken_object_stands_in_the_middle_of_its_box():
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    image[8:28, 12:42] = [200, 100, 50]
    shrunken = shrink_object(image, np.array([12.0, 8.0, 42.0, 28.0]), 0.4)
    # 30 x 20 pixels become 12 x 8, with 9 and 6 pixels of the mean color on either side.
    expected = painted(
        40,
        48,
        lambda y, x: (
            [200, 100, 50]
            if 14 <= y < 22 and 21 <= x < 33
            else (MEAN_COLOR if 8 <= y < 28 and 12 <= x < 42 else image[y, x])
        ),
    )
    assert np.array_equal(shrunken, expected)
    assert np.array_equal(shrink_object(image, np.array([12.0, 8.0, 42.0, 28.0]), 1), image)


def test_a_shrunken_object_keeps_at_least_a_pixel():
    image = np.full((40, 48, 3), 7, np.uint8)
    image[8:12, 12:42] = [200, 100, 50]
    shrunken = shrink_object(image, np.array([12.0, 8.0, 42.0, 12.0]), 0.1)
    expected = painted(
        40,
        48,
        lambda y, x: (
            [200, 100, 50] if y == 9 and 25 <= x < 28 else (MEAN_COLOR if 8 <= y < 12 and 12 <= x < 42 else image[y, x])
        ),
    )
    assert np.array_equal(shrunken, expected)
