"""Resized images against Pillow's, whose filters the authors of all methods use."""

from itertools import islice

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmdecouple.datasets.reading import read_image
from mmdecouple.datasets.resizing import resize
from mmdecouple.datasets.scene_datasets import SceneObjects
from mmdecouple.datasets.transforms import RandomResizedCropView
from mmdecouple.evaluation.object_sources import ObjectSource
from mmdecouple.visualization.sample_images import read_sample_images

FILTERS = dict(bilinear=Image.Resampling.BILINEAR, bicubic=Image.Resampling.BICUBIC)


def pillow(image, size, interpolation='bilinear'):
    return np.asarray(Image.fromarray(image).resize(size[::-1], FILTERS[interpolation]))


def detail(image):
    """Mean absolute Laplacian: what aliasing raises and blur lowers."""
    return abs(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F)).mean()


def is_pillows(ours, theirs):
    return abs(ours.astype(int) - theirs).mean() <= 0.5 and detail(ours) == pytest.approx(detail(theirs), rel=0.02)


@pytest.fixture(scope='module')
def scenes():
    data = SceneObjects(3, scenes=dict(size=288))
    return [data.objects(index).image for index in range(3)]


@pytest.fixture(scope='module')
def photos(coco128):
    return [read_image(str(path)) for path in islice(sorted((coco128 / 'train2017').glob('*.jpg')), 12)]


crops = dict(
    index=st.integers(0, 10**6),
    side=st.integers(32, 64),
    zoom=st.tuples(*[st.floats(0.8, 4.5)] * 2),
    place=st.tuples(*[st.floats(0, 1)] * 2),
    interpolation=st.sampled_from(sorted(FILTERS)),
)
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)


def check_crop(image, side, zoom, place, interpolation):
    height, width = (max(1, min(round(side * factor), limit)) for factor, limit in zip(zoom, image.shape))
    y, x = (round(share * (limit - used)) for share, limit, used in zip(place, image.shape, (height, width)))
    crop = image[y : y + height, x : x + width]
    assert is_pillows(
        resize(crop, (side, side), interpolation), pillow(np.ascontiguousarray(crop), (side, side), interpolation)
    )


@EXAMPLES
@given(**crops)
def test_scenes_are_resized_as_pillow_does(scenes, index, **crop):
    check_crop(scenes[index % len(scenes)], **crop)


@EXAMPLES
@given(**crops)
def test_photographs_are_resized_as_pillow_does(photos, index, **crop):
    check_crop(photos[index % len(photos)], **crop)


@pytest.mark.parametrize('zoom', [0.8, 1, 1.3, 1.6, 2, 2.5, 3.5, 4.5])
def test_views_are_those_of_pillow(scenes, zoom):
    side = 64
    view = RandomResizedCropView(side)
    for image in scenes:
        window = (3, 5, round(0.9 * zoom * side), round(zoom * side))
        shown = view.show(dict(img=image), window)['img']
        x, y, w, h = window
        assert is_pillows(shown, pillow(np.ascontiguousarray(image[y : y + h, x : x + w]), (side, side)))


def test_probes_and_figures_show_what_pillow_shows(scenes, tmp_path):
    objects = SceneObjects(2, scenes=dict(size=200))
    source = ObjectSource(objects, size=64)
    for index, image in enumerate(source.images):
        assert is_pillows(source.pixels(image), pillow(objects.objects(index).image, (64, 64)))
    cv2.imwrite(str(tmp_path / 'a.png'), scenes[0][..., ::-1])
    assert is_pillows(read_sample_images(tmp_path / 'a.png', 96)[0].image, pillow(scenes[0], (96, 96)))


@pytest.mark.parametrize('source, size', [((160, 200), (56, 64)), ((61, 83), (40, 40)), ((30, 20), (64, 48))])
@pytest.mark.parametrize('interpolation', sorted(FILTERS))
def test_no_pixel_is_more_than_a_level_from_pillows_columns_first(source, size, interpolation):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (source[0] // 3, source[1] // 3, 3), dtype=np.uint8))
    image = np.asarray(noise.resize(source[::-1], Image.Resampling.BICUBIC))
    # In two steps, because Pillow 13 no longer does the columns first in every image.
    expected = pillow(pillow(image, (source[0], size[1]), interpolation), size, interpolation).astype(int)
    difference = abs(resize(image, size, interpolation) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.02


def test_the_result_is_a_contiguous_copy_whatever_the_strides():
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for crop in (image, image[::-1, 2:], image[:20, :20]):
        same = resize(crop, crop.shape[:2])
        assert (same == crop).all() and not np.shares_memory(same, image)
        assert resize(crop, (16, 24)).flags.c_contiguous
