"""Options `device_photometric` and `device_views`: the loader makes the draws, and the data preprocessor uses them."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader, get_worker_info

from mmdecouple.datasets.transforms import defer_photometric, defer_views
from mmdecouple.engine.loaders import wrapped_datasets
from mmdecouple.models import DenseAlgorithm, DensePreprocessor
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError, shown


def move_to_device(loader: DataLoader, config: Config) -> None:
    """Moves work from a loader to the device, if `device_photometric` or `device_views` is True.

    Args:
        loader: Training data; its workers must not have been started.
        config: Config of the run. `device_views` includes `device_photometric`.

    Raises:
        UserError: The preprocessor of the model is not a `DensePreprocessor`, which does that work; with
            `device_views`, a data set makes no views, or the loader does not use `default_collate`; or see
            `defer_photometric` and `defer_views`.
    """
    views, photometric = (config.get(name, False) for name in ('device_views', 'device_photometric'))
    if not views and not photometric:
        return
    option, kind = 'device_views' if views else 'device_photometric', _preprocessor(config)
    if not (isinstance(kind, type) and issubclass(kind, DensePreprocessor)):
        raise UserError(
            f'{option}=True requires a DensePreprocessor, got {shown(getattr(kind, "__name__", kind))} (config key '
            f'model.data_preprocessor.type); change the type, or set {option}=False.'
        )
    if views:
        _move_views(loader)
        return
    for dataset in wrapped_datasets(loader.dataset):
        defer_photometric(getattr(dataset, 'pipeline', None))


def _move_views(loader: DataLoader) -> None:
    collate = getattr(loader.collate_fn, 'func', loader.collate_fn)
    if collate not in (default_collate, pack_images):
        raise UserError(
            f'device_views=True replaces default_collate, got {getattr(collate, "__name__", collate)} (config key '
            'train_dataloader.collate_fn.type); use default_collate, or set device_views=False.'
        )
    for dataset in wrapped_datasets(loader.dataset):
        wraps = any(hasattr(dataset, name) for name in ('dataset', 'datasets'))
        if not defer_views(getattr(dataset, 'pipeline', None)) and not wraps:
            raise UserError(
                f'device_views=True requires views made by MultiView, but {type(dataset).__name__} makes none (config '
                'key train_dataloader.dataset.pipeline); add MultiView and PackViews, or set device_views=False.'
            )
    loader.collate_fn = pack_images


def pack_images(samples: list[dict]) -> dict:
    """Collates images of different sizes: `inputs` is their pixels, one after the other, uint8 `(N, 3)` in a list."""
    pixels = [sample['inputs'][0].reshape(-1, 3) for sample in samples]
    out = None
    if get_worker_info() is not None:
        # As in torch's collation: written into shared memory directly, they are not copied again.
        count = 3 * sum(map(len, pixels))
        out = pixels[0].new(pixels[0]._typed_storage()._new_shared(count)).resize_(count // 3, 3)
    return dict(inputs=[torch.cat(pixels, out=out)], data_samples=[sample['data_samples'] for sample in samples])


def _preprocessor(config: Config) -> Any:
    """Returns the class of the data preprocessor, or what the config has in its place."""
    model = config.get('model') or {}
    block = model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    kind = block.get('type')
    if kind is None:
        kind = DensePreprocessor if issubclass(_class(model.get('type')), DenseAlgorithm) else None
    return _class(kind) if isinstance(kind, str) else kind


def _class(kind: Any) -> type:
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    return found if isinstance(found, type) else type(None)
