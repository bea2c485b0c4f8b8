"""What every training data set has in common: keys with an epoch, draws that depend on the key."""

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
    """A data set whose item ``dataset[(epoch, index)]`` depends only on (seed, epoch, index).

    Subclasses give ``load`` and ``__len__``; the pipeline's transforms draw from the global
    generators, which are seeded for the sample while it is loaded and transformed.

    Args:
        pipeline: Configs of registered transforms, applied in order to what ``load`` returns.
        seed: Seed of the draws, >= 0. None takes the run's seed, which the runner sets.
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
        """What a checkpoint and the visualizer keep about this data set."""
        return dict(dataset=type(self).__name__)

    @abstractmethod
    def load(self, index: int) -> dict[str, Any]:
        """The undrawn sample.

        Args:
            index: In [0, len(self)).

        Returns:
            ``img`` (H, W, 3) uint8 RGB, ``img_path`` str, ``sample_idx`` int, ``ori_shape``
            (height, width) and whatever else the transforms of this data set need.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, key: int | tuple[int, int]) -> Any:
        """The transformed sample of an (epoch, index) key; a plain index means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f'{type(self).__name__}: index {index} is outside [0, {len(self)}).')
        with sample_rng(self.seed or 0, epoch, index):
            return self.pipeline(self.load(index))
