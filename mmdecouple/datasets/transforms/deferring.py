"""Photometric transforms whose draws are applied on the device."""

from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmdecouple.datasets.transforms.photometric import PhotometricTransform
from mmdecouple.datasets.transforms.views import MultiView, PackViews, RandomFlipView
from mmdecouple.utils.errors import UserError


def defer_photometric(pipeline: Any) -> None:
    """Lets the photometric transforms of the views record their operations instead of applying them.

    The draws stay the same. `PackViews` stores the operations in the sample, and `DensePreprocessor` applies them.
    Transforms of the source image, before the views, are still applied by the loader, because the views are resized
    afterwards.

    Args:
        pipeline: Pipeline of a data set; without `MultiView`, it is not changed.

    Raises:
        UserError: A transform after a photometric one reads the pixels, so that the order would change.
    """
    transforms = pipeline.transforms if isinstance(pipeline, Compose) else []
    place = next((place for place, each in enumerate(transforms) if isinstance(each, MultiView)), None)
    if place is None:
        return
    found = [transform for view in transforms[place].pipelines for transform in _deferrable(view.transforms)]
    if not found:
        return
    after = transforms[place + 1 :]
    if len(after) != 1 or not isinstance(after[0], PackViews):
        names = ', '.join(_name(transform) for transform in after) or 'nothing'
        raise UserError(
            f'device_photometric=True: only PackViews may follow {_name(transforms[place])}, got {names} '
            '(config key train_dataloader.dataset.pipeline); change the order, or set device_photometric=False.'
        )
    for transform in found:
        transform.deferred = True


def _deferrable(transforms: list[BaseTransform]) -> list[PhotometricTransform]:
    """Returns the photometric transforms of one view; among the others, only flips may follow one of them."""
    found: list[PhotometricTransform] = []
    for transform in transforms:
        if _records(transform):
            found.append(transform)
        elif found and type(transform) is not RandomFlipView:
            raise UserError(
                f'device_photometric=True: {_name(transform)} follows {_name(found[-1])} and would not see '
                'its changes (config key train_dataloader.dataset.pipeline); move it before the photometric '
                'transforms, or set device_photometric=False.'
            )
    return found


def _records(transform: Any) -> bool:
    return isinstance(transform, PhotometricTransform) and type(transform).transform is PhotometricTransform.transform


def _name(transform: Any) -> str:
    return getattr(transform, '__name__', type(transform).__name__)
