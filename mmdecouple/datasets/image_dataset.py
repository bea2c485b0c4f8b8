"""Unlabelled images from a COCO annotation file, a folder or a list file."""

import os.path as osp
from typing import Any

from mmdecouple.datasets.listing import count_missing, list_images
from mmdecouple.datasets.packed_subset import is_pack
from mmdecouple.datasets.reading import read_image
from mmdecouple.datasets.replacing import ReplacingDataset
from mmdecouple.datasets.seeded import DATASET
from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.settings import Settings


@DATASETS.register_module()
class ImageDataset(ReplacingDataset):
    """Images without labels; unreadable files are replaced and reported, see `ReplacingDataset`.

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
        super().__init__(pipeline, seed, max_bad_share)
        check = Settings(self, DATASET)
        for key, value in (('data_root', data_root), ('img_prefix', img_prefix)):
            if not isinstance(value, str):
                check.refuse(key, f'must be a string, got {shown(value)}')
        check.text('ann_file', ann_file, optional=True)
        self.backend_args = check.block('backend_args', backend_args, optional=True, typed=False)
        folder = osp.join(data_root, img_prefix)
        if ann_file is None and is_pack(folder):
            raise UserError(
                f"ImageDataset: {shown(folder, 120)} is a pack of images; read it with type='ShardedImages' and root "
                'instead of data_root, ann_file and img_prefix (config key train_dataloader.dataset).'
            )
        self.paths = list_images(data_root, ann_file, img_prefix)
        missing, first = (0, '') if backend_args else count_missing(self.paths, max_bad_share)
        if missing > max_bad_share * len(self.paths):
            raise MissingFile(
                f'ImageDataset: {missing} of the {len(self.paths)} images do not exist, the first is '
                f'{first!r} (config keys data_root, ann_file and img_prefix; max_bad_share={max_bad_share}).'
            )

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> str:
        """See `ReplacingDataset.path`."""
        return self.paths[index]

    def read(self, index: int) -> dict[str, Any]:
        """See `ReplacingDataset.read`."""
        image = read_image(self.paths[index], self.backend_args)
        return dict(img=image, ori_shape=image.shape[:2])
