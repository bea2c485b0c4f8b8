"""The built-in scenes: exact, deterministic, and as coupled as their knobs say."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mmdecouple.datasets import SceneImages, SceneObjects
from mmdecouple.datasets.scenes import BACKGROUNDS, CLASSES, SceneSpec, draw_layout, draw_scene
from mmdecouple.datasets.scenes.render import paint
from mmdecouple.datasets.scenes.shapes import OUTLINES, rasterize

CLEAN = dict(illumination=0.0, noise=0.0)


def layouts(spec, count, split='train'):
    return [draw_layout(spec, spec.generator(split, index)) for index in range(count)]


def digest(spec, split, indices):
    pictures = {index: draw_scene(spec, split, index) for index in indices}
    whole = hashlib.sha256()
    for index in sorted(pictures):
        whole.update(pictures[index].image.tobytes() + pictures[index].layout.owner.tobytes())
    return whole.hexdigest()


def test_a_scene_has_the_same_bytes_in_any_order_and_process():
    spec = SceneSpec(seed=3, size=64)
    here = digest(spec, 'val', range(6))
    np.random.seed(1)
    assert digest(spec, 'val', reversed(range(6))) == here
    program = (
        'from tests.test_datasets.test_scenes import *; '
        "print(digest(SceneSpec(seed=3, size=64), 'val', [5, 2, 0, 1, 4, 3]))"
    )
    there = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert there.stdout.strip() == here, there.stderr


def test_drawing_leaves_the_global_generator_alone():
    state = np.random.get_state()[1].copy()
    draw_scene(SceneSpec(size=48), 'train', 0)
    assert np.array_equal(np.random.get_state()[1], state)


def test_seed_split_and_index_each_give_other_scenes():
    spec = SceneSpec(size=48)
    seen = [
        draw_scene(which, split, index).image.tobytes()
        for which in (spec, replace(spec, seed=1))
        for split in ('train', 'val')
        for index in range(50)
    ]
    assert len(set(seen)) == 200


def test_masks_are_disjoint_and_boxes_are_tight_around_what_is_visible():
    data = SceneObjects(60, scenes=dict(size=(48, 72), objects=(2, 8), max_overlap=0.6))
    for index in range(len(data)):
        item = data.objects(index)
        assert item.image.shape == (48, 72, 3) and item.image.dtype == np.uint8
        assert item.masks.sum(0).max() == 1
        for box, mask in zip(item.boxes, item.masks):
            ys, xs = np.nonzero(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_info_equals_the_objects_without_painting(monkeypatch):
    data = SceneObjects(20, split='train', scenes=dict(size=48))
    items = [data.objects(index) for index in range(20)]
    monkeypatch.setattr('mmdecouple.datasets.scene_datasets.draw_scene', None)
    for item, info in zip(items, map(data.info, range(20))):
        for key in ('boxes', 'labels', 'ids'):
            assert np.array_equal(info[key], getattr(item, key))
        assert info['areas'].tolist() == item.masks.sum((1, 2)).tolist()
        assert (info['image_id'], info['height'], info['width']) == (item.image_id, 48, 48)
    ids = np.concatenate([item.ids for item in items])
    assert len(set(ids.tolist())) == len(ids)


@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.6])
def test_no_object_is_hidden_beyond_the_chosen_overlap(overlap):
    hidden = []
    for layout in layouts(SceneSpec(size=64, objects=(3, 6), max_overlap=overlap), 80):
        for placement, area in zip(layout.placements, layout.areas):
            hidden.append(1 - area / np.count_nonzero(placement.coverage))
    assert max(hidden) <= overlap + 1e-6
    assert overlap == 0 or max(hidden) > 0.7 * overlap


def test_every_scene_holds_the_drawn_number_of_objects_even_when_they_must_shrink():
    crowded = SceneSpec(size=(32, 64), objects=(8, 8), object_side=(0.9, 0.9), max_overlap=0.0)
    found = layouts(crowded, 30)
    assert {len(layout.labels) for layout in found} == {8}
    assert min(layout.areas.min() for layout in found) > 8
    free = layouts(SceneSpec(size=64, objects=(2, 4), object_side=(0.2, 0.3)), 300)
    counts = np.bincount([len(layout.labels) for layout in free], minlength=5)
    assert counts[:2].sum() == 0 and counts[2:].min() > 60  # 100 each expected, deviation 8
    radii = [placement.radius for layout in free for placement in layout.placements]
    assert min(radii) >= 6.3 and max(radii) <= 9.7  # nothing shrank: 0.2 to 0.3 of 64, halved


def test_rasters_have_the_area_of_their_polygon():
    radius, half = 40.0, 0.36
    arm = np.sqrt(1 - half**2)
    areas = dict(
        disc=np.pi,
        square=2.0,
        triangle=3 * np.sqrt(3) / 4,
        ring=np.pi * (1 - 0.25),
        star=5 * 0.45 * np.sin(np.pi / 5),
        cross=4 * half * (2 * arm - half),
    )
    assert set(areas) == set(OUTLINES) == {kind.shape for kind in CLASSES}
    for shape, area in areas.items():
        coverage, _ = rasterize(shape, radius, 1.0, 0.3, (0.25, 0.75))
        pixels = np.count_nonzero(coverage)
        assert pixels == pytest.approx(area * radius**2, rel=0.03), shape


def test_pixels_outside_the_masks_are_the_backgrounds_own():
    spec = SceneSpec(size=64, **CLEAN)
    for index in range(20):
        scene = draw_scene(spec, 'train', index)
        rng = spec.generator('train', index)
        draw_layout(spec, rng)
        empty = paint(spec, scene.layout._replace(placements=()), rng)
        free = scene.layout.owner < 0
        assert np.array_equal(scene.image[free], empty[free])
        assert (scene.image[~free] != empty[~free]).any(-1).mean() > 0.95


def test_knobs_of_color_and_light_do_not_move_objects():
    first, second = SceneSpec(size=64), SceneSpec(size=64, color_tells=0, illumination=1, noise=0.1)
    for one, other in zip(layouts(first, 10), layouts(second, 10)):
        assert np.array_equal(one.owner, other.owner) and one.background == other.background


def test_classes_and_backgrounds_are_uniform_at_kappa_zero_and_at_kappa_one():
    for kappa in (0.0, 1.0):
        found = layouts(SceneSpec(size=32, objects=(2, 2), cooccurrence=kappa), 1500)
        labels = np.concatenate([layout.labels for layout in found])
        shares = np.bincount(labels, minlength=12) / len(labels)
        assert np.abs(shares - 1 / 12).max() < 0.025
        backgrounds = np.bincount([layout.background for layout in found], minlength=8) / 1500
        assert np.abs(backgrounds - 1 / 8).max() < 0.035


@pytest.mark.parametrize('kappa', [0.0, 0.8, 1.0])
def test_co_occurrence_follows_kappa(kappa):
    # Both from the group with probability kappa^2, otherwise they meet by chance among 4 groups.
    expected = kappa**2 + (1 - kappa**2) / 4
    found = layouts(SceneSpec(size=32, objects=(2, 2), cooccurrence=kappa), 1500)
    groups = np.array([layout.labels // 3 for layout in found])
    backgrounds = np.array([layout.background // 2 for layout in found])
    assert (groups[:, 0] == groups[:, 1]).mean() == pytest.approx(expected, abs=0.045)
    assert (groups[:, 0] == backgrounds).mean() == pytest.approx(expected, abs=0.045)


def mean_hues(data):
    """Hue in turns of each object's mean color, by the hexagon-free formula, with its label."""
    hues, labels = [], []
    for index in range(len(data)):
        item = data.objects(index)
        for mask, label in zip(item.masks, item.labels):
            red, green, blue = item.image[mask].astype(float).mean(0)
            angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
            hues.append(angle / (2 * np.pi) % 1)
            labels.append(label)
    return np.array(hues), np.array(labels)


@pytest.mark.parametrize('color_tells, low, high', [(1.0, 0.85, 1.0), (0.7, 0.21, 0.35), (0.0, 0.05, 0.12)])
def test_color_alone_tells_the_class_as_much_as_the_knob_says(color_tells, low, high):
    # The nearest class hue is right with probability (1/12) / (1 - color_tells): .28 at .7.
    data = SceneObjects(350, scenes=dict(size=48, color_tells=color_tells, **CLEAN))
    hues, labels = mean_hues(data)
    centers = np.array([kind.hue for kind in CLASSES])
    distance = np.abs((hues[:, None] - centers + 0.5) % 1 - 0.5)
    assert low <= (distance.argmin(1) == labels).mean() <= high


def test_illumination_moves_the_brightness_of_scenes():
    def spread(strength):
        spec = SceneSpec(size=48, illumination=strength)
        return np.std([draw_scene(spec, 'train', index).image.mean() for index in range(60)])

    assert spread(1.0) > 1.5 * spread(0.0)


def test_the_vocabulary_is_what_the_scenes_promise():
    assert len(CLASSES) >= 12 and len(BACKGROUNDS) >= 8
    triples = [(kind.material, kind.shape) for kind in CLASSES]
    assert len(set(triples)) == len({kind.hue for kind in CLASSES}) == len(CLASSES)
    for part in zip(*triples):
        assert all(part.count(value) >= 2 for value in part)


def test_background_labels_equal_the_layouts():
    data = SceneObjects(15, scenes=dict(size=48))
    assert data.background_labels.tolist() == [layout.background for layout in layouts(data.spec, 15, 'val')]


def test_training_scenes_are_samples_of_a_seeded_dataset():
    data = SceneImages(4, pipeline=[], scenes=dict(size=(48, 64)), seed=5)
    sample = data[(7, 2)]
    assert np.array_equal(sample['img'], draw_scene(data.spec, 'train', 2).image)
    assert (sample['sample_idx'], sample['ori_shape'], len(data)) == (2, (48, 64), 4)


@pytest.mark.parametrize('knobs, line', [
    (dict(color_tells=1.4), 'SceneSpec: color_tells must lie in [0, 1], got 1.4 (config key scene'),
    (dict(kappa=1), 'SceneSpec: kappa is unknown; the parameters are seed, size'),
    (dict(size=16), 'SceneSpec: size must be a whole number in [32, 2048], got 16'),
    (dict(objects=(5, 2)), 'SceneSpec: objects must be (low, high) with low <= high, got (5, 2)'),
    (dict(objects=(2, 8), size=32), 'SceneSpec: objects must not exceed 4 in an image of 32 x 32'),
    (dict(object_side=(0.05, 0.2)), 'SceneSpec: object_side must make objects of at least 8 pix'),
])  # yapf: disable
def test_a_wrong_knob_is_one_line_that_names_its_key(knobs, line):
    with pytest.raises(ValueError) as error:
        SceneObjects(3, scenes=knobs)
    assert str(error.value).startswith(line) and '\n' not in str(error.value)


def test_a_wrong_split_or_number_of_scenes_is_refused():
    with pytest.raises(ValueError, match='split must be one of train, val, got .test.'):
        SceneObjects(3, split='test')
    with pytest.raises(ValueError, match='SceneImages: num_images must be a whole number of at least 1'):
        SceneImages(0, pipeline=[])
