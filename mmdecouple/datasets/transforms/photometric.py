"""Color, blur and solarization of uint8 RGB images, with the parameters of MoCo v2 and DenseCL as defaults."""

from abc import abstractmethod
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdecouple.datasets.transforms.views import PIPELINE
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.photometry import Operation
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


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Applies a Gaussian of standard deviation `sigma` in pixels to an image, uint8 `(H, W, 3)`."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


_LEVELS = np.arange(256, dtype=np.float32)
_NONE: Operation = ('none', 0.0)


def _table(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def change_image(image: np.ndarray, operation: Operation) -> np.ndarray:
    """Applies an operation (name, amount) of `mmdecouple.utils.photometry` to an image, uint8 `(H, W, 3)`."""
    name, amount = operation
    if name in ('none', 'gray'):
        return to_gray(image) if name == 'gray' else image
    change = dict(
        brightness=adjust_brightness,
        contrast=adjust_contrast,
        saturation=adjust_saturation,
        hue=adjust_hue,
        blur=blur,
        solarize=solarize,
    )[name]
    return change(image, amount)


class PhotometricTransform(BaseTransform):
    """A random change of colors that does not move pixels, as a list of operations.

    Attributes:
        deferred: Whether the operations are appended to the field `operations` instead of being applied, so that the
            device applies them to the batch; see `defer_photometric`. The draws are the same.
    """

    deferred = False

    @abstractmethod
    def draw(self) -> list[Operation]:
        """Draws the operations for one image, (name, amount) in their order.

        The length is always the same, with `none` for an operation that is not applied: the device then finds the same
        kind of operation at the same place in all images of a batch.
        """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        operations = self.draw()
        if self.deferred:
            results['operations'] = [*results.get('operations', ()), *operations]
            return results
        for operation in operations:
            results['img'] = change_image(results['img'], operation)
        return results


@TRANSFORMS.register_module()
class RandomColorJitter(PhotometricTransform):
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

    def draw(self) -> list[Operation]:
        if np.random.rand() >= self.prob:
            return [_NONE] * 4
        amounts = [np.random.uniform(1 - strength, 1 + strength) for strength in self.strengths]
        amounts.append(np.random.uniform(-self.hue, self.hue))
        steps = list(zip(('brightness', 'contrast', 'saturation', 'hue'), amounts))
        return [steps[which] for which in np.random.permutation(4)]


@TRANSFORMS.register_module()
class RandomGrayscale(PhotometricTransform):
    """Replaces the colors by their luma.

    Args:
        prob: Probability of applying the transform, in [0, 1].

    Raises:
        SettingError: The probability is out of range.
    """

    def __init__(self, prob: float = 0.2) -> None:
        self.prob = Settings(self, PIPELINE).number('prob', prob, 0, 1)

    def draw(self) -> list[Operation]:
        return [('gray', 0.0) if np.random.rand() < self.prob else _NONE]


@TRANSFORMS.register_module()
class RandomGaussianBlur(PhotometricTransform):
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

    def draw(self) -> list[Operation]:
        return [('blur', np.random.uniform(*self.sigma)) if np.random.rand() < self.prob else _NONE]


@TRANSFORMS.register_module()
class RandomSolarize(PhotometricTransform):
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

    def draw(self) -> list[Operation]:
        return [('solarize', self.threshold) if np.random.rand() < self.prob else _NONE]
