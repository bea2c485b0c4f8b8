"""Images and label maps as tensors, resized to a square or randomly cropped and flipped."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as TF

from mmdecouple.datasets.seeding import sample_rng
from mmdecouple.evaluation.segmentation.label_sources import LabelSource
from mmdecouple.evaluation.segmentation.layouts import open_source
from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings


@DATASETS.register_module()
class SegmentationImages(Dataset):
    """Images with their label maps, both resized to squares regardless of their aspect ratio.

    Args:
        data: Specification of the data, see `open_source`, or a `LabelSource`.
        split: `train` or `val`; not used with a `LabelSource`.
        size: Side in pixels; None for 448, or for the size of scenes.
        limit: Maximum number of images, drawn with a fixed seed; None for all.
        scenes: Settings of the scenes in memory.

    Raises:
        MissingFile: The data does not exist.
        UserError: `size` or `limit` is below 1, or `data` is unknown.
    """

    def __init__(
        self,
        data: str | LabelSource,
        split: str = 'val',
        size: int | None = None,
        limit: int | None = None,
        scenes: dict | None = None,
    ) -> None:
        for key, value in (('size', size), ('limit', limit)):
            Settings(self).number(key, value, 1, whole=True, optional=True)
        self.source = open_source(data, split, scenes) if isinstance(data, str) else data
        self.classes, self.size = self.source.classes, size or self.source.size
        self.indices = drawn_images(len(self.source), limit)

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> tuple[Image.Image, Image.Image]:
        """Returns image and label map at their original size."""
        return self.source.read(int(self.indices[index]))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Returns uint8 RGB `(3, size, size)` and uint8 labels `(size, size)`."""
        return to_tensors(*squash(*self.read(index), self.size))


class AugmentedImages(Dataset):
    """Random crops and flips: area in U(0.8, 1) of the image, aspect ratio in [3/4, 4/3], flip with probability 0.5.

    Args:
        images: Images that are augmented.
        seed: Seed of the draws.
        epoch: Epoch of the draws; equal (seed, epoch, index) give equal pixels.

    Source: `MkuuWaUjinga/leopart` `experiments/linear_probing/linear_finetune.py`.
    """

    def __init__(self, images: SegmentationImages, seed: int, epoch: int) -> None:
        self.images, self.seed, self.epoch = images, seed, epoch

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """See `SegmentationImages`."""
        image, labels = self.images.read(index)
        side = [self.images.size] * 2
        with sample_rng(self.seed, self.epoch, index):
            window = RandomResizedCrop.get_params(image, [0.8, 1.0], [3 / 4, 4 / 3])
            flip = bool(torch.rand(()) < 0.5)
        image = TF.resized_crop(image, *window, side, InterpolationMode.BILINEAR)
        labels = TF.resized_crop(labels, *window, side, InterpolationMode.NEAREST)
        return to_tensors(*(TF.hflip(x) if flip else x for x in (image, labels)))


def drawn_images(count: int, limit: int | None) -> np.ndarray:
    """Returns indices of `count` images, int64 ascending: `limit` of them, drawn with a fixed seed; None for all."""
    indices = np.arange(count)
    return indices if limit is None else np.sort(np.random.default_rng(0).permutation(indices)[:limit])


def check_labelled(images: SegmentationImages) -> None:
    """Checks that some pixel of some image has a label; reads label maps until one has.

    Raises:
        UserError: All are void, or a file cannot be read.
    """
    classes = len(images.classes)
    if not any((np.asarray(images.read(index)[1]) < classes).any() for index in range(len(images))):
        raise UserError(
            f'segmentation: none of the {len(images)} images of {images.source.name} has a labelled pixel (all are '
            'void); name other data (--data), or more images (--limit).'
        )


def squash(image: Image.Image, labels: Image.Image, size: int) -> tuple[Image.Image, Image.Image]:
    """Resizes both to `size` x `size`: the image with Pillow's bilinear filter, the labels to the nearest pixel.

    Args:
        image: RGB image.
        labels: Class indices, mode L.
        size: Side in pixels.
    """
    side = (size, size)
    return image.resize(side, Image.Resampling.BILINEAR), labels.resize(side, Image.Resampling.NEAREST)


def shrink_labels(labels: Tensor, size: int) -> Tensor:
    """Resizes labels `(B, H, W)` to `(B, size, size)`; pixel i takes the value at floor(i * H / size), in float32.

    Source: `MkuuWaUjinga/leopart` resizes its 448 pixel label maps to 100 by torch's `nearest`.
    """
    return F.interpolate(labels[:, None], size=(size, size), mode='nearest')[:, 0]


def to_tensors(image: Image.Image, labels: Image.Image) -> tuple[Tensor, Tensor]:
    """Returns an RGB image and its label map, both H x W, as uint8 tensors `(3, H, W)` and `(H, W)`."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels, torch.from_numpy(np.array(labels))
