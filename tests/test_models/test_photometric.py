"""Colors that the device changes in batches have the pixels of the loader's transforms."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdecouple.datasets.transforms.photometric import change_image
from mmdecouple.models.photometric import blur_weights, change_colors
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.photometry import OPERATIONS, encode_operations
from tests.test_datasets.test_photometric import photograph

STEPS = [
    dict(type='RandomColorJitter', brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5),
    dict(type='RandomGrayscale'),
    dict(type='RandomGaussianBlur', sigma=(0.1, 4.0)),
    dict(type='RandomSolarize'),
]


def pictures(side: int = 48) -> np.ndarray:
    """Photographs, noise, gray, black, white and saturated colors, uint8 (B, side, side, 3)."""
    rng = np.random.default_rng(0)
    smooth, noise = photograph(side, side), rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    gray = np.repeat(noise[..., :1], 3, axis=2)
    flat = [np.full((side, side, 3), level, np.uint8) for level in (0, 1, 254, 255)]
    pure = rng.choice(np.array([0, 255], np.uint8), (side, side, 3))
    almost_gray = (gray // 2 + rng.integers(0, 2, gray.shape)).astype(np.uint8)
    return np.stack([smooth, 255 - smooth, noise, gray, pure, almost_gray, *flat])


def by_the_loader(images, operations):
    changed = []
    for image, steps in zip(images, operations):
        for step in steps:
            image = change_image(image, step)
        changed.append(image)
    return np.stack(changed).astype(int)


def on_the_device(images, operations, device='cpu'):
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)
    changed = change_colors(batch, encode_operations(operations))
    assert changed.dtype == torch.float32 and torch.equal(changed, changed.round())
    return changed.permute(0, 2, 3, 1).cpu().numpy().astype(int)


def drawn(count: int, kinds=STEPS) -> list:
    steps = [TRANSFORMS.build(dict(kind, prob=0.7)) for kind in kinds]
    return [[operation for step in steps for operation in step.draw()] for _ in range(count)]


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('kinds', [STEPS, STEPS[::-1]], ids=['in order', 'in reverse order'])
def test_a_batch_differs_from_the_loader_by_at_most_one_level_and_almost_nowhere(kinds, autocast):
    np.random.seed(0)
    images = pictures()
    different = []
    for _ in range(4):
        operations = drawn(len(images), kinds)
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            device = on_the_device(images, operations)
        difference = abs(device - by_the_loader(images, operations))
        # A solarization before other changes turns a difference of one level into a large one.
        assert difference.max() <= (1 if kinds is STEPS else 2)
        different.append((difference > 0).mean())
    assert np.mean(different) < 1e-4


AMOUNTS = dict(
    none=st.just(0.0),
    brightness=st.floats(0, 2),
    contrast=st.floats(0, 2),
    saturation=st.floats(0, 2),
    hue=st.floats(-0.5, 0.5),
    gray=st.just(0.0),
    blur=st.floats(0.05, 6),
    solarize=st.floats(0, 256),
)


def test_every_operation_has_a_range_here():
    assert list(AMOUNTS) == list(OPERATIONS)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_any_single_operation_on_views_of_any_size(data, height, width, seed):
    images = np.random.default_rng(seed).integers(0, 256, (4, height, width, 3), dtype=np.uint8)
    names = data.draw(st.lists(st.sampled_from(OPERATIONS), min_size=4, max_size=4))
    operations = [[(name, data.draw(AMOUNTS[name]))] for name in names]
    difference = abs(on_the_device(images, operations) - by_the_loader(images, operations))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


@pytest.mark.parametrize('name, amount', [('hue', 0.03), ('hue', -0.4), ('saturation', 1.37), ('gray', 0.0)])
def test_an_operation_on_a_grid_of_all_colors(name, amount):
    levels = np.arange(0, 256, 3)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, 1, -1, 3).astype(np.uint8)
    difference = abs(on_the_device(colors, [[(name, amount)]]) - by_the_loader(colors, [[(name, amount)]]))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-4


def test_the_weights_of_a_blur_are_the_response_of_opencv_to_a_point():
    sigmas = np.concatenate([np.random.default_rng(0).uniform(0.1, 2, 40), [0.05, 5, 11.3]])
    weights = blur_weights(sigmas)
    assert (weights.sum(1) == 256).all() and np.array_equal(weights, weights[:, ::-1])
    point = np.zeros((1, weights.shape[1]), np.uint8)
    point[0, weights.shape[1] // 2] = 255
    for sigma, own in zip(sigmas, weights):
        np.testing.assert_array_equal(np.floor(255 * own / 256 + 0.5), cv2.GaussianBlur(point, (0, 0), sigma)[0])


def test_an_image_is_changed_by_its_own_operations_only():
    np.random.seed(1)
    images, operations = pictures(16), drawn(10)
    together = on_the_device(images, operations)
    for index in range(len(images)):
        alone = on_the_device(images[index : index + 1], operations[index : index + 1])
        np.testing.assert_array_equal(together[index], alone[0])


def test_the_changes_read_nothing_on_the_host():
    """Tensors on the meta device have no values: reading one raises an error."""
    np.random.seed(2)
    views = torch.zeros(16, 3, 24, 24, dtype=torch.uint8, device='meta')
    changed = change_colors(views, encode_operations(drawn(16)))
    assert changed.shape == views.shape and changed.device == views.device


@pytest.mark.cuda
def test_a_gpu_has_the_pixels_of_the_loader():
    np.random.seed(3)
    images = pictures()
    operations = drawn(len(images))
    assert abs(on_the_device(images, operations, 'cuda') - by_the_loader(images, operations)).max() <= 2
