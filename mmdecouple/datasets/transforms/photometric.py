"""Color, blur and solarization of uint8 RGB images, with the parameters of MoCo v2 and DenseCL as defaults."""

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdecouple.datasets.transforms.views import PIPELINE
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.settings import Settings


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Returns `factor * image`, clipped to [0, 255], for an image uint8 `(H, W, 3)`."""
    return cv2.LUT(image, _table(_LEVELS * factor))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blends an image, uint8 `(H, W, 3)`, with its rounded mean gray; 1 returns the image, 0 the gray."""
    mean = round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    return cv2.LUT(image, _table(_LEVELS * factor + mean * (1 - factor)))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blends an image, uint8 `(H, W, 3)`, with its gray version; 1 returns the image, 0 the gray version."""
    return cv2.addWeighted(image, factor, to_gray(image), 1 - factor, 0)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Shifts the hue of an image, uint8 `(H, W, 3)`, by `shift` of the full circle."""
    table = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    table[..., 0] += np.uint8(round(shift * 255) % 256)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    return cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB_FULL)


def to_gray(image: np.ndarray) -> np.ndarray:
    """Returns the luma (ITU-R 601) of an image, uint8 `(H, W, 3)`, in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def solarize(image: np.ndarray, threshold: float) -> np.ndarray:
    """Inverts the values of an image, uint8 `(H, W, 3)`, that are at least `threshold`."""
    return cv2.LUT(image, _table(np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS)))


_LEVELS = np.arange(256, dtype=np.float32)


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


@TRANSFORMS.register_module()
class RandomColorJitter(BaseTransform):
    """Changes brightness, contrast, saturation and hue in random order.

    The first three factors are uniform in [1 - strength, 1 + strength], the hue shift in [-hue, hue].

    Args:
        brightness: Strength for the brightness, in [0, 1].
        contrast: Strength for the contrast, in [0, 1].
        saturation: Strength for the saturation, in [0, 1].
        hue: Largest hue shift as a fraction of the circle, in [0, 0.5].
        prob: Probability of applying the transform, in [0, 1].

    Raises:
        SettingError: A value is out of range.

    Source: `facebookresearch/moco` `main_moco.py` (`aug_plus`).
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        prob: float = 0.8,
    ) -> None:
        self.strengths = (brightness, contrast, saturation)
        check = Settings(self, PIPELINE)
        for key, strength in zip(('brightness', 'contrast', 'saturation'), self.strengths):
            check.number(key, strength, 0, 1)
        self.hue = check.number('hue', hue, 0, 0.5)
        self.prob = check.number('prob', prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() >= self.prob:
            return results
        amounts = [np.random.uniform(1 - strength, 1 + strength) for strength in self.strengths]
        amounts.append(np.random.uniform(-self.hue, self.hue))
        steps = list(zip((adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue), amounts))
        for which in np.random.permutation(4):
            adjust, amount = steps[which]
            results['img'] = adjust(results['img'], amount)
        return results


@TRANSFORMS.register_module()
class RandomGrayscale(BaseTransform):
    """Replaces the colors by their luma.

    Args:
        prob: Probability of applying the transform, in [0, 1].

    Raises:
        SettingError: The probability is out of range.
    """

    def __init__(self, prob: float = 0.2) -> None:
        self.prob = Settings(self, PIPELINE).number('prob', prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() < self.prob:
            results['img'] = to_gray(results['img'])
        return results


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Applies a Gaussian blur of random width.

    The Gaussian is exact. Pillow, which the authors use, approximates it by box filters; on photographs, the mean
    difference is 1 gray level at sigma 0.4, and 0.5 at sigma 1 to 2.

    Args:
        sigma: Smallest and largest standard deviation in pixels of the view, above 0.
        prob: Probability of applying the transform, in [0, 1].

    Raises:
        SettingError: A value is out of range.

    Source: `facebookresearch/moco` `moco/loader.py`.
    """

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0), prob: float = 0.5) -> None:
        check = Settings(self, PIPELINE)
        self.sigma = check.ordered('sigma', sigma, above=0)
        self.prob = check.number('prob', prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() < self.prob:
            sigma = np.random.uniform(*self.sigma)
            results['img'] = cv2.GaussianBlur(results['img'], (0, 0), sigma)
        return results


@TRANSFORMS.register_module()
class RandomSolarize(BaseTransform):
    """Inverts bright values.

    Args:
        threshold: Smallest value that is inverted, in [0, 256].
        prob: Probability of applying the transform, in [0, 1].

    Raises:
        SettingError: A value is out of range.

    Source: `bytedance/ibot` `utils.py` (`Solarization`), which uses Pillow's `ImageOps.solarize`.
    """

    def __init__(self, threshold: float = 128, prob: float = 0.2) -> None:
        check = Settings(self, PIPELINE)
        self.threshold = check.number('threshold', threshold, 0, 256)
        self.prob = check.number('prob', prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() < self.prob:
            results['img'] = solarize(results['img'], self.threshold)
        return results
