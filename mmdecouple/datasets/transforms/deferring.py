"""Transforms whose draws are carried out on the device."""

from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmdecouple.datasets.transforms.photometric import PhotometricTransform
from mmdecouple.datasets.transforms.views import MultiView, PackViews, RandomFlipView, WindowView
from mmdecouple.utils.errors import UserError

_PHOTOMETRIC, _VIEWS = 'device_photometric', 'device_views'
_WHERE = '(config key train_dataloader.dataset.pipeline)'


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
    multi_view = _multi_view(pipeline)
    if multi_view is None:
        return
    found = [transform for view in multi_view.pipelines for transform in _deferrable(view.transforms)]
    if found:
        _check_packed(pipeline, multi_view, _PHOTOMETRIC)
    for transform in found:
        transform.deferred = True


def defer_views(pipeline: Any) -> bool:
    """Lets the loader record windows, flips and colors of the views, which the device carries out on the whole images.

    The draws stay the same. `PackViews` stores the records in the sample, and `DensePreprocessor` makes the views.

    Args:
        pipeline: Pipeline of a data set; without `MultiView`, it is not changed.

    Returns:
        Whether the pipeline makes views.

    Raises:
        UserError: A view has a transform that needs its pixels, or see `defer_photometric`.
    """
    multi_view = _multi_view(pipeline)
    if multi_view is None:
        return False
    _check_packed(pipeline, multi_view, _VIEWS)
    for crop, *others in (view.transforms for view in multi_view.pipelines):
        wrong = [other for other in others if not _records(other) and type(other) is not RandomFlipView]
        if not isinstance(crop, WindowView) or type(crop).show is not WindowView.show:
            wrong.insert(0, crop)
        if wrong:
            raise UserError(
                f'{_VIEWS}=True: the device cannot carry out {_name(wrong[0])} {_WHERE}; views consist of a crop '
                f'(RandomResizedCropView, WholeImageView), flips and photometric transforms; or set {_VIEWS}=False.'
            )
    defer_photometric(pipeline)
    for view in multi_view.pipelines:
        view.transforms[0].deferred = True
    return True


def _multi_view(pipeline: Any) -> MultiView | None:
    transforms = pipeline.transforms if isinstance(pipeline, Compose) else []
    return next((transform for transform in transforms if isinstance(transform, MultiView)), None)


def _check_packed(pipeline: Compose, multi_view: MultiView, option: str) -> None:
    after = pipeline.transforms[pipeline.transforms.index(multi_view) + 1 :]
    if len(after) != 1 or not isinstance(after[0], PackViews):
        names = ', '.join(_name(transform) for transform in after) or 'nothing'
        raise UserError(
            f'{option}=True: only PackViews may follow {_name(multi_view)}, got {names} {_WHERE}; change the order, or '
            f'set {option}=False.'
        )


def _deferrable(transforms: list[BaseTransform]) -> list[PhotometricTransform]:
    """Returns the photometric transforms of one view; among the others, only flips may follow one of them."""
    found: list[PhotometricTransform] = []
    for transform in transforms:
        if _records(transform):
            found.append(transform)
        elif found and type(transform) is not RandomFlipView:
            raise UserError(
                f'{_PHOTOMETRIC}=True: {_name(transform)} follows {_name(found[-1])} and would not see its changes '
                f'{_WHERE}; move it before the photometric transforms, or set {_PHOTOMETRIC}=False.'
            )
    return found


def _records(transform: Any) -> bool:
    return isinstance(transform, PhotometricTransform) and type(transform).transform is PhotometricTransform.transform


def _name(transform: Any) -> str:
    return getattr(transform, '__name__', type(transform).__name__)
