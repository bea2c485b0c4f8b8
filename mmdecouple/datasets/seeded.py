"""Base class of training data sets, with keys that include the epoch and draws that depend on the key."""

from abc import abstractmethod
from typing import Any

from mmengine.dataset import Compose
from torch.utils.data import Dataset

from mmdecouple.datasets.seeding import sample_rng
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.errors import shown
from mmdecouple.utils.settings import Settings

DATASET = 'train_dataloader.dataset'


class SeededDataset(Dataset):
    """A data set whose item `dataset[(epoch, index)]` depends only on (seed, epoch, index).

    Subclasses implement `load` and `__len__`. The transforms of the pipeline draw from the global generators, which are
    seeded for each sample while it is loaded and transformed.

    Args:
        pipeline: Configs of registered transforms, which are applied to the result of `load` in order.
        seed: Seed of the draws, at least 0; None takes the seed of the run, which the runner sets.

    Raises:
        SettingError: A value is out of range or of a wrong type.
    """

    def __init__(self, pipeline: list[dict], seed: int | None = None) -> None:
        check = Settings(self, DATASET)
        self.seed = check.number('seed', seed, 0, whole=True, optional=True)
        if not isinstance(pipeline, (list, tuple)):
            check.refuse('pipeline', f'must be a list of transforms, got {shown(pipeline)}')
        self.pipeline = Compose(
            [TRANSFORMS.build(transform) if isinstance(transform, dict) else transform for transform in pipeline]
        )

    @property
    def metainfo(self) -> dict[str, Any]:
        """Description of the data set for checkpoints and the visualizer."""
        return dict(dataset=type(self).__name__)

    @abstractmethod
    def load(self, index: int) -> dict[str, Any]:
        """Loads a sample, before any random transform.

        Args:
            index: Index of the sample, in [0, len(self)).

        Returns:
            Dict with `img` (RGB, uint8 `(H, W, 3)`), `img_path` (str), `sample_idx` (int), `ori_shape` (height, width
            of the source), and further fields that the transforms of this data set need; `shrunk` (bool) if `img` may
            be smaller than its source, see `WindowView`.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of samples."""

    def __getitem__(self, key: int | tuple[int, int]) -> Any:
        """Returns the transformed sample of an (epoch, index) key; a plain index refers to epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f'{type(self).__name__}: index {index} is outside [0, {len(self)}).')
        with sample_rng(self.seed or 0, epoch, index):
            return self.pipeline(self.load(index))
