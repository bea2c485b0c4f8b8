"""Base class of data sets of image files, in which unreadable files are replaced and reported."""

from abc import abstractmethod
from typing import Any

from mmdecouple.datasets.reading import UnreadableImage
from mmdecouple.datasets.seeded import DATASET, SeededDataset
from mmdecouple.utils.settings import Settings


class ReplacingDataset(SeededDataset):
    """Images of which unreadable ones are replaced by the next readable one in the list.

    The replacement depends neither on the worker nor on the epoch. `QuarantineHook` lists the unreadable files, and
    stops the run if their fraction exceeds `max_bad_share`. Subclasses implement `path`, `read` and `__len__`.

    Args:
        pipeline: Configs of registered transforms.
        seed: Seed of the draws; None takes the seed of the run.
        max_bad_share: Largest accepted fraction of unreadable images, in [0, 1].

    Raises:
        SettingError: A value is out of range.
    """

    def __init__(self, pipeline: list[dict], seed: int | None = None, max_bad_share: float = 0.01) -> None:
        super().__init__(pipeline, seed)
        self.max_bad_share = Settings(self, DATASET).number('max_bad_share', max_bad_share, 0, 1)

    @abstractmethod
    def path(self, index: int) -> str:
        """Returns the path of an image, which identifies it in messages and in files keyed by image name."""

    @abstractmethod
    def read(self, index: int) -> dict[str, Any]:
        """Reads an image.

        Returns:
            Dict with `img`, `ori_shape` and optional further fields; see `SeededDataset.load`.

        Raises:
            UnreadableImage: The image cannot be read.
        """

    def load(self, index: int) -> dict[str, Any]:
        """Returns the image at an index, or the next readable one; see `SeededDataset.load`.

        The field `unreadable` contains a (path, reason) pair for each file that was skipped.

        Raises:
            UnreadableImage: No image of the data set can be read.
        """
        unreadable: list[tuple[str, str]] = []
        for step in range(len(self)):
            place = (index + step) % len(self)
            path = self.path(place)
            try:
                image = self.read(place)
            except UnreadableImage as error:
                unreadable.append((path, str(error)))
                continue
            return dict(img_path=path, sample_idx=place, unreadable=unreadable, **image)
        raise UnreadableImage(
            f'{type(self).__name__}: none of the {len(self)} images can be read, for '
            f'example {unreadable[0][0]!r}: {unreadable[0][1]}.'
        )
