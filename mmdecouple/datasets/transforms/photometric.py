"""Color, blur and solarization of uint8 RGB, with the parameters of MoCo v2 and DenseCL."""

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdecouple.datasets.transforms.views import PIPELINE
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.settings import Settings


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """``factor * image``, clipped; image (H, W, 3) uint8."""
    return cv2.LUT(image, _table(_LEVELS * factor))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend of an image (H, W, 3) uint8 with its rounded mean gray."""
    mean = round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    return cv2.LUT(image, _table(_LEVELS * factor + mean * (1 - factor)))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend of an image (H, W, 3) uint8 with its gray version."""
    return cv2.addWeighted(image, factor, to_gray(image), 1 - factor, 0)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turns the hue of an image (H, W, 3) uint8 by ``shift`` of the full circle."""
    table = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    table[..., 0] += np.uint8(round(shift * 255) % 256)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    return cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB_FULL)


def to_gray(image: np.ndarray) -> np.ndarray:
    """The luma (ITU-R 601) of an image (H, W, 3) uint8 in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def solarize(image: np.ndarray, threshold: float) -> np.ndarray:
    """Inverts the levels of an image (H, W, 3) uint8 that reach ``threshold``."""
    return cv2.LUT(image, _table(np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS)))


_LEVELS = np.arange(256, dtype=np.float32)


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


@TRANSFORMS.register_module()
class RandomColorJitter(BaseTransform):
    """Changes brightness, contrast, saturation and hue in random order.

    The first three factors are drawn from [1 - strength, 1 + strength], the hue shift from
    [-hue, hue].

    Args:
        brightness: Strength, in [0, 1].
        contrast: Strength, in [0, 1].
        saturation: Strength, in [0, 1].
        hue: Largest shift as a share of the circle, in [0, 0.5].
        prob: Probability of any change, in [0, 1].

    Source: ``facebookresearch/moco`` ``main_moco.py`` (``aug_plus``).
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
        prob: Probability, in [0, 1].
    """

    def __init__(self, prob: float = 0.2) -> None:
        self.prob = Settings(self, PIPELINE).number('prob', prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() < self.prob:
            results['img'] = to_gray(results['img'])
        return results


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blurs with a Gaussian of random width.

    The Gaussian is exact; Pillow's, which the authors use, is made of boxes: on photographs 1 level apart in the mean
    at sigma 0.4, 0.5 from 1 to 2.

    Args:
        sigma: Range of the standard deviation in pixels of the view.
        prob: Probability, in [0, 1].

    Source: ``facebookresearch/moco`` ``moco/loader.py``.
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
    """Inverts the bright levels.

    Args:
        threshold: Lowest level that is inverted, in [0, 256].
        prob: Probability, in [0, 1].

    Source: ``bytedance/ibot`` ``utils.py`` (``Solarization``), which is Pillow's
    ``ImageOps.solarize``.
    """

    def __init__(self, threshold: float = 128, prob: float = 0.2) -> None:
        check = Settings(self, PIPELINE)
        self.threshold = check.number('threshold', threshold, 0, 256)
        self.prob = check.number('prob', prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() < self.prob:
            results['img'] = solarize(results['img'], self.threshold)
        return results
