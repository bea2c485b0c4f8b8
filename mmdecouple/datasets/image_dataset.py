"""Unlabelled images from a COCO annotation file, a folder or a list file."""

from typing import Any

from mmdecouple.datasets.listing import count_missing, list_images
from mmdecouple.datasets.reading import UnreadableImage, read_image
from mmdecouple.datasets.seeded import DATASET, SeededDataset
from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import MissingFile, shown
from mmdecouple.utils.settings import Settings


@DATASETS.register_module()
class ImageDataset(SeededDataset):
    """Images without labels; unreadable files are replaced and reported.

    An unreadable image is replaced by the next readable one in the list, so that the replacement depends neither on the
    worker nor on the epoch. `QuarantineHook` lists the unreadable files, and stops the run if their fraction exceeds
    `max_bad_share`.

    Args:
        pipeline: Configs of registered transforms.
        data_root: Folder that `ann_file` and `img_prefix` are relative to.
        ann_file: COCO annotation file (JSON), list file (one path per line), or None for all images below the folder;
            see `list_images`.
        img_prefix: Folder of the images.
        seed: Seed of the draws; None takes the seed of the run.
        max_bad_share: Largest accepted fraction of unreadable images, in [0, 1].
        backend_args: Arguments of mmengine's file backend.

    Raises:
        MissingFile: The annotation file, the folder or too many images do not exist.
        UserError: There are no images, or a value is out of range.
    """

    def __init__(
        self,
        pipeline: list[dict],
        data_root: str = '',
        ann_file: str | None = None,
        img_prefix: str = '',
        seed: int | None = None,
        max_bad_share: float = 0.01,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(pipeline, seed)
        check = Settings(self, DATASET)
        for key, value in (('data_root', data_root), ('img_prefix', img_prefix)):
            if not isinstance(value, str):
                check.refuse(key, f'must be a string, got {shown(value)}')
        check.text('ann_file', ann_file, optional=True)
        self.max_bad_share = check.number('max_bad_share', max_bad_share, 0, 1)
        self.backend_args = check.block('backend_args', backend_args, optional=True, typed=False)
        self.paths = list_images(data_root, ann_file, img_prefix)
        missing, first = (0, '') if backend_args else count_missing(self.paths, max_bad_share)
        if missing > max_bad_share * len(self.paths):
            raise MissingFile(
                f'ImageDataset: {missing} of the {len(self.paths)} images do not exist, the first is '
                f'{first!r} (config keys data_root, ann_file and img_prefix; max_bad_share={max_bad_share}).'
            )

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> dict[str, Any]:
        """Returns the image at an index, or the next readable one; see `SeededDataset.load`.

        The field `unreadable` contains a (path, reason) pair for each file that was skipped.

        Raises:
            UnreadableImage: No image of the data set can be read.
        """
        unreadable = []
        for step in range(len(self)):
            path = self.paths[(index + step) % len(self)]
            try:
                image = read_image(path, self.backend_args)
            except UnreadableImage as error:
                unreadable.append((path, str(error)))
                continue
            return dict(
                img=image,
                img_path=path,
                sample_idx=(index + step) % len(self),
                ori_shape=image.shape[:2],
                unreadable=unreadable,
            )
        raise UnreadableImage(
            f'ImageDataset: none of the {len(self)} images can be read, for '
            f'example {unreadable[0][0]!r}: {unreadable[0][1]}.'
        )
