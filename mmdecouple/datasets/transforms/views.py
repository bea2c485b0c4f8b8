"""Views of an image with their recorded geometry."""

import math
from abc import abstractmethod
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement

from mmdecouple.datasets.resizing import INTERPOLATIONS, resize
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.errors import shown
from mmdecouple.utils.photometry import encode_operations
from mmdecouple.utils.recipes import Recipe
from mmdecouple.utils.settings import Settings

PIPELINE = 'train_dataloader.dataset.pipeline'
_MAX_SIDE = 2**15


class WindowView(BaseTransform):
    """Crops a window of an image, resizes it, and records the window.

    Adds `crop_window` (x, y, w, h) in pixels of the source, and `flip`, which is True if the source was mirrored first.
    If views depend on each other, the window can be drawn by `draw_window` and passed to `show`.

    If the field `shrunk` is True, `img` is a smaller copy of a source of the size `ori_shape`. Windows are drawn and
    recorded in pixels of that source, as without the copy, and rounded to whole pixels of the copy when it is cropped.

    Args:
        size: Side, or (height, width), of the view in pixels, in [1, 32768].
        interpolation: `bilinear` or `bicubic`, with the anti-aliasing filters of Pillow.

    Attributes:
        deferred: Whether the window is only recorded, as a `recipe`, so that the device cuts it out; see `defer_views`.

    Raises:
        SettingError: A value is out of range.
    """

    deferred = False

    def __init__(self, size: int | tuple[int, int], interpolation: str = 'bilinear') -> None:
        self.check = Settings(self, PIPELINE)
        if isinstance(size, (list, tuple)):
            self.size = self.check.numbers('size', size, 2, minimum=1, maximum=_MAX_SIDE, whole=True)
        else:
            self.size = (self.check.number('size', size, 1, _MAX_SIDE, whole=True),) * 2
        self.interpolation = self.check.choice('interpolation', interpolation, list(INTERPOLATIONS))

    @abstractmethod
    def draw_window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draws a window (x, y, w, h) in pixels of an image of the given height and width."""

    def show(self, results: dict[str, Any], window: tuple[int, int, int, int]) -> dict[str, Any]:
        """Creates the view of a given window (x, y, w, h) in pixels of the source."""
        x, y, w, h = window
        image, mirrored = results['img'], results.get('flip', False)
        height, width = source_size(results)
        rows, columns = (
            _stored_span(*span) for span in ((y, h, height, image.shape[0]), (x, w, width, image.shape[1]))
        )
        if self.deferred:
            spans = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
            results['recipe'] = Recipe(*image.shape[:2], *spans, 0, *self.size, int(self.interpolation == 'bicubic'))
        else:
            results['img'] = resize(image[rows, columns], self.size, self.interpolation)
        results['crop_window'] = (width - x - w if mirrored else x, y, w, h)
        results['flip'] = mirrored
        return results

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        return self.show(results, self.draw_window(*source_size(results)))


def source_size(results: dict[str, Any]) -> tuple[int, int]:
    """Returns the height and width in which windows are drawn: those of the source, also if `img` is a smaller copy."""
    return results['ori_shape'] if results.get('shrunk', False) else results['img'].shape[:2]


def _stored_span(start: int, length: int, source: int, stored: int) -> slice:
    """Maps a span of source pixels to the nearest whole pixels, at least one, of a copy of another size."""
    first, last = (round(edge * stored / source) for edge in (start, start + length))
    first = min(first, stored - 1)
    return slice(first, max(last, first + 1))


@TRANSFORMS.register_module()
class RandomResizedCropView(WindowView):
    """A view of a random window, drawn as by torchvision's `RandomResizedCrop`, with the same random numbers.

    Args:
        size: Side, or (height, width), of the view in pixels.
        scale: Smallest and largest area of the window as a fraction of the image, in (0, 1].
        ratio: Smallest and largest width / height of the window, above 0.
        interpolation: See `WindowView`.

    Raises:
        SettingError: A value is out of range.

    Source: `WXinlong/DenseCL` `configs/selfsup/densecl/densecl_coco_800ep.py`; for `bicubic`
        `bytedance/ibot` `main_ibot.py` and `OpenDriveLab/maskalign` `main_pretrain.py`.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = 'bilinear',
    ) -> None:
        super().__init__(size, interpolation)
        self.scale = list(self.check.ordered('scale', scale, above=0, maximum=1))
        self.ratio = list(self.check.ordered('ratio', ratio, above=0))

        # Converted once, and as by torchvision, whose float32 logarithm the draws depend on.
        self._log_ratio = torch.log(torch.tensor(self.ratio)).tolist()

    def draw_window(self, height: int, width: int) -> tuple[int, int, int, int]:
        number = torch.empty(1)
        for _ in range(10):
            area = height * width * number.uniform_(*self.scale).item()
            ratio = number.uniform_(*self._log_ratio).exp_().item()
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                y, x = (torch.randint(rest + 1, (1,)).item() for rest in (height - h, width - w))
                return x, y, w, h
        # The central window whose ratio is as close as possible.
        ratio = width / height
        w = round(height * max(self.ratio)) if ratio > max(self.ratio) else width
        h = round(width / min(self.ratio)) if ratio < min(self.ratio) else height
        return (width - w) // 2, (height - h) // 2, w, h


@TRANSFORMS.register_module()
class WholeImageView(WindowView):
    """A view of the whole image, resized without keeping the aspect ratio.

    Args:
        size: Side, or (height, width), of the view in pixels.
        interpolation: See `WindowView`.

    Source: `hologerry/SoCo` `contrast/data/transform_ops.py` (`WholeImageResizedParams`).
    """

    def draw_window(self, height: int, width: int) -> tuple[int, int, int, int]:
        return 0, 0, width, height


@TRANSFORMS.register_module()
class RandomFlipView(BaseTransform):
    """Mirrors a view left to right and records this in `flip`; before `MultiView`, mirrors the source of all views.

    Args:
        prob: Probability of applying the transform, in [0, 1].

    Raises:
        SettingError: The probability is out of range.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = Settings(self, PIPELINE).number('prob', prob, 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.rand() < self.prob:
            if 'recipe' in results:
                recipe = results['recipe']
                results['recipe'] = recipe._replace(mirrored=1 - recipe.mirrored)
            else:
                results['img'] = cv2.flip(results['img'], 1)
            results['flip'] = not results.get('flip', False)
        return results


@TRANSFORMS.register_module()
class MultiView(BaseTransform):
    """Runs pipelines on copies of one image, each of which results in one view.

    Adds `views`, one dict per view with all fields that its pipeline recorded, and removes `img`.

    Args:
        views: One pipeline (list of transform configs) for each kind of view.
        num_views: Number of views of each kind.

    Raises:
        SettingError: A value is of a wrong type or out of range.
    """

    def __init__(self, views: list[list[dict]], num_views: list[int]) -> None:
        self.check = Settings(self, PIPELINE)
        if not isinstance(views, (list, tuple)) or not all(isinstance(each, (list, tuple)) and each for each in views):
            self.check.refuse('views', f'must be a list of lists of transforms, got {shown(views)}')
        self.check.numbers('num_views', num_views, len(views), minimum=1, whole=True)
        self.pipelines = [
            Compose([TRANSFORMS.build(transform) for transform in pipeline])
            for pipeline, count in zip(views, num_views)
            for _ in range(count)
        ]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        source = dict(results)
        results['views'] = [pipeline(dict(source)) for pipeline in self.pipelines]
        del results['img']
        return results


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Creates the training sample: `inputs`, a list of uint8 `(3, H, W)`, and `data_samples`.

    `data_samples` has the field `geometry`, float32 `(V, 7)` (see `mmdecouple.utils.geometry`), and for views with
    boxes the fields `boxes` and `box_ids` (see `BoxViews`). With `device_photometric`, the field `operations`, float64
    `(V, S, 2)` (see `mmdecouple.utils.photometry`), has the changes of color that are applied on the device. With
    `device_views`, `inputs` is the whole image, uint8 `(H, W, 3)`, as its only entry, and the field `recipes`, int64
    `(V, 10)`, tells how the device makes the views of it (see `Recipe`). Its metainfo has `sample_idx`, `img_path` and,
    if they exist, `unreadable` (of data sets that skip unreadable files) and `remarks` (a tuple of str, counted by
    `RemarksHook`).
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        views = results['views']
        geometry = [(*view['crop_window'], view['flip'], *results['ori_shape']) for view in views]
        fields = dict(geometry=torch.from_numpy(np.array(geometry, np.float32)))
        fields |= {key: torch.from_numpy(results[key]) for key in ('boxes', 'box_ids') if key in results}
        if any('operations' in view for view in views):
            fields['operations'] = encode_operations([view.get('operations', ()) for view in views])
        if 'recipe' in views[0]:
            fields['recipes'] = torch.from_numpy(np.array([view['recipe'] for view in views], np.int64))
        sample = BaseDataElement(**fields)
        for key in ('sample_idx', 'img_path', 'unreadable', 'remarks'):
            if key in results:
                # The constructor would make deep copies.
                sample.set_field(results[key], key, field_type='metainfo')
        if 'recipe' in views[0]:
            return dict(inputs=[torch.from_numpy(np.ascontiguousarray(views[0]['img']))], data_samples=sample)
        return dict(inputs=[_channels_first(view['img']) for view in views], data_samples=sample)


def _channels_first(image: np.ndarray) -> torch.Tensor:
    # Ten times faster than a transposed copy.
    planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))
    return torch.from_numpy(planes)
