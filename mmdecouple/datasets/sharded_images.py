"""Unlabelled images of a pack."""

from typing import Any

from mmdecouple.datasets.packs import Pack, PackedPaths
from mmdecouple.datasets.reading import decode_image
from mmdecouple.datasets.replacing import ReplacingDataset
from mmdecouple.datasets.seeded import DATASET
from mmdecouple.registry import DATASETS
from mmdecouple.utils.settings import Settings


@DATASETS.register_module()
class ShardedImages(ReplacingDataset):
    """The images of a pack, which `mmdecouple pack` makes of a folder, a list or a COCO annotation file.

    The samples are those of `ImageDataset` with the source: order, draws, windows, boxes and geometry are the same, and
    so are the pixels if the files were packed unchanged. If they were reduced, windows and boxes still refer to pixels
    of the source. Unreadable images are replaced and reported, also those whose checksum is wrong.

    Args:
        pipeline: Configs of registered transforms.
        root: Folder of the pack.
        seed: Seed of the draws; None takes the seed of the run.
        max_bad_share: Largest accepted fraction of unreadable images, in [0, 1].

    Attributes:
        pack_digest: First 16 digits of the digest of the pack, which a resume compares.
        pixels: How the images are stored, which a resume compares.

    Raises:
        MissingFile: The pack or a shard does not exist.
        UserError: The pack is damaged, or a value is out of range.
    """

    def __init__(self, pipeline: list[dict], root: str, seed: int | None = None, max_bad_share: float = 0.01) -> None:
        super().__init__(pipeline, seed, max_bad_share)
        self.pack = Pack(Settings(self, DATASET).text('root', root))
        self.paths = PackedPaths(self.pack)
        self.pack_digest = self.pack.digest[:16]
        side, quality = (self.pack.settings.get(key) for key in ('shorter_side', 'quality'))
        self.pixels = f'shorter side {side}, quality {quality}' if side else 'unchanged'

    def __len__(self) -> int:
        return len(self.pack)

    def path(self, index: int) -> str:
        """Returns the folder of the pack with the name of the image, which is not a file on disk."""
        return self.paths[index]

    def read(self, index: int) -> dict[str, Any]:
        """See `ReplacingDataset.read`."""
        image, size = decode_image(self.pack.content(index)), self.pack.size(index)
        # A file that could not be decoded when it was packed was kept as it is, and has no recorded size.
        size = size if min(size) else image.shape[:2]
        return dict(img=image, ori_shape=size, shrunk=image.shape[:2] != size)
