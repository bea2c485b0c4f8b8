"""Option `device_photometric`: the loader draws changes of color, and the data preprocessor applies them."""

from typing import Any

from mmengine.config import Config
from torch.utils.data import DataLoader

from mmdecouple.datasets.transforms import defer_photometric
from mmdecouple.engine.loaders import wrapped_datasets
from mmdecouple.models import DenseAlgorithm, DensePreprocessor
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError, shown


def move_photometric(loader: DataLoader, config: Config) -> None:
    """Lets the data sets of a loader record their changes of color, if the config key `device_photometric` is True.

    Args:
        loader: Training data; its workers must not have been started.
        config: Config of the run.

    Raises:
        UserError: The preprocessor of the model is not a `DensePreprocessor`, which applies the recorded changes, or
            see `defer_photometric`.
    """
    if not config.get('device_photometric', False):
        return
    kind = _preprocessor(config)
    if not (isinstance(kind, type) and issubclass(kind, DensePreprocessor)):
        raise UserError(
            'device_photometric=True requires a DensePreprocessor, got '
            f'{shown(getattr(kind, "__name__", kind))} (config key model.data_preprocessor.type); change the type, or '
            'set device_photometric=False.'
        )
    for dataset in wrapped_datasets(loader.dataset):
        defer_photometric(getattr(dataset, 'pipeline', None))


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
