"""Changes of color, blur and solarization: their formulas, and what is drawn for them."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from torchvision.transforms import functional as reference

from mmdecouple.datasets.transforms import photometric
from mmdecouple.registry import TRANSFORMS

LUMA = np.array([0.299, 0.587, 0.114])


def photograph(height: int = 72, width: int = 96) -> np.ndarray:
    """Smooth colors of all levels."""
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize('factor', [0.0, 0.6, 1.0, 1.4])
def test_brightness_and_contrast_equal_pillow_but_for_a_rounding_now_and_then(factor):
    image = photograph()
    for name, share in (('brightness', 0.0), ('contrast', 0.01)):
        ours = getattr(photometric, f'adjust_{name}')(image, factor).astype(int)
        theirs = np.asarray(getattr(reference, f'adjust_{name}')(Image.fromarray(image), factor)).astype(int)
        assert abs(ours - theirs).max() <= 1 and (ours != theirs).mean() <= share


@pytest.mark.parametrize('factor', [0.0, 0.6, 1.0, 1.4])
def test_saturation_is_the_rounded_blend_with_the_luma(factor):
    """Pillow cuts the decimals off, so that its images are darker by half a level in the mean."""
    image = photograph()
    gray = (image @ LUMA).round()[..., None]
    error = photometric.adjust_saturation(image, factor) - np.clip(factor * image + (1 - factor) * gray, 0, 255)
    assert abs(error).max() <= 1 and abs(error.mean()) < 0.02


def test_gray_is_the_luma_in_all_channels():
    image = photograph()
    gray = photometric.to_gray(image)
    assert abs(gray - (image @ LUMA)[..., None]).max() <= 0.51


@pytest.mark.parametrize('sigma', [0.4, 1.0, 2.0])
def test_blur_is_a_gaussian_of_the_drawn_width(sigma):
    image = photograph()
    ours = TRANSFORMS.build(dict(type='RandomGaussianBlur', sigma=(sigma, sigma), prob=1.0))(dict(img=image))['img']
    exact = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode='mirror')
    assert abs(ours - exact).max() <= 1.5 and abs(ours - exact).mean() < 0.5


@pytest.mark.parametrize(
    'kind, options',
    [
        ('RandomFlipView', {}),
        ('RandomGrayscale', {}),
        ('RandomGaussianBlur', dict(sigma=(1.0, 1.0))),
        ('RandomSolarize', {}),
        ('RandomColorJitter', {}),
    ],
)
@pytest.mark.parametrize('prob', [0.0, 0.2, 1.0])
def test_a_change_happens_with_its_probability(kind, options, prob):
    np.random.seed(0)
    image, step = photograph(9, 12), TRANSFORMS.build(dict(type=kind, prob=prob, **options))
    changed = [not np.array_equal(step(dict(img=image.copy(), flip=False))['img'], image) for _ in range(600)]
    assert np.mean(changed) == pytest.approx(prob, abs=0.05 * (0 < prob < 1))


def test_jitter_draws_all_four_changes_from_their_ranges_in_any_order(monkeypatch):
    np.random.seed(0)
    names, calls = ('brightness', 'contrast', 'saturation', 'hue'), []
    for name in names:
        monkeypatch.setattr(
            photometric, f'adjust_{name}', lambda image, amount, name=name: calls.append((name, amount)) or image
        )
    step = TRANSFORMS.build(dict(type='RandomColorJitter', contrast=0.3, saturation=0.2, prob=1.0))
    orders, amounts = set(), {name: [] for name in names}
    for _ in range(600):
        calls.clear()
        step(dict(img=photograph(9, 12)))
        orders.add(tuple(name for name, _ in calls))
        for name, amount in calls:
            amounts[name].append(amount)
    assert len(orders) == 24 and all(sorted(order) == sorted(names) for order in orders)
    for name, (low, high) in zip(names, ((0.6, 1.4), (0.7, 1.3), (0.8, 1.2), (-0.1, 0.1))):
        drawn = np.array(amounts[name])
        assert len(drawn) == 600 and low <= drawn.min() and drawn.max() <= high
        assert np.quantile(drawn, [0.02, 0.5, 0.98]) == pytest.approx(
            [low, (low + high) / 2, high], abs=0.1 * (high - low)
        )
