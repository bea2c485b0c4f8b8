"""Views that the device cuts out of images of different sizes have the pixels of the loader's views."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdecouple.datasets.resizing import INTERPOLATIONS, resize
from mmdecouple.models.resampling import axis_filter, cut_views
from mmdecouple.utils.recipes import Recipe


def window(rng, largest: int, out: tuple[int, int], bicubic: int) -> Recipe:
    height, width = (int(side) for side in rng.integers(1, largest + 1, 2))
    h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return Recipe(height, width, x, y, w, h, int(rng.integers(2)), *out, bicubic)


def by_the_loader(image: np.ndarray, recipe: Recipe) -> np.ndarray:
    part = image[recipe.y : recipe.y + recipe.h, recipe.x : recipe.x + recipe.w]
    view = resize(part, (recipe.out_height, recipe.out_width), INTERPOLATIONS[recipe.bicubic])
    return cv2.flip(view, 1).reshape(view.shape) if recipe.mirrored else view


def check(rng, largest: int, out: tuple[int, int], bicubic: int, device: str = 'cpu') -> None:
    recipes = [window(rng, largest, out, bicubic) for _ in range(5)]
    images = [rng.integers(0, 256, (recipe.height, recipe.width, 3), dtype=np.uint8) for recipe in recipes]
    pixels = torch.from_numpy(np.concatenate([image.reshape(-1, 3) for image in images])).to(device)
    # A second view of other windows of the same images.
    others = [each._replace(x=0, y=0, w=each.width, h=each.height, mirrored=0) for each in recipes]
    for views, plan in zip(cut_views(pixels, torch.tensor([recipes, others])), (recipes, others)):
        assert views.dtype == torch.uint8 and views.shape == (5, 3, *out)
        for view, image, recipe in zip(views, images, plan):
            np.testing.assert_array_equal(view.permute(1, 2, 0).cpu().numpy(), by_the_loader(image, recipe))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(0, 1))
def test_a_view_has_the_pixels_of_the_loader_bit_for_bit(seed, height, width, bicubic):
    check(np.random.default_rng(seed), 60, (height, width), bicubic)


@pytest.mark.parametrize('bicubic', [0, 1])
def test_a_large_image_is_shrunk_to_the_same_pixels(bicubic):
    check(np.random.default_rng(0), 250, (8, 12), bicubic)


@pytest.mark.parametrize('bicubic', [False, True])
def test_the_weights_of_each_position_have_the_sum_one_up_to_their_rounding(bicubic):
    lengths = torch.tensor([1, 5, 32, 33, 500, 4000])
    filters = axis_filter(lengths, 32, bicubic, 'cpu')
    sums = filters.weights.sum(2) / 2.0 ** filters.bits[:, None]
    assert (sums - 1).abs().max() < 2e-3 and filters.weights.abs().max() < 2**15


def test_nothing_is_read_from_the_device():
    """Tensors on the meta device have no values: reading one raises an error."""
    rng = np.random.default_rng(0)
    recipes = torch.tensor([[window(rng, 90, (24, 24), 0) for _ in range(4)]] * 2)
    pixels = torch.zeros(int((recipes[0, :, 0] * recipes[0, :, 1]).sum()), 3, dtype=torch.uint8, device='meta')
    assert [tuple(view.shape) for view in cut_views(pixels, recipes)] == [(4, 3, 24, 24)] * 2


@pytest.mark.cuda
@pytest.mark.parametrize('bicubic', [0, 1])
def test_a_gpu_has_the_same_pixels(bicubic):
    check(np.random.default_rng(1), 700, (224, 224), bicubic, 'cuda')
