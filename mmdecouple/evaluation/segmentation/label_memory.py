"""A memory of patch features with the classes of their pixels, and the labels that its nearest entries give."""

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import ColorJitter, InterpolationMode, RandomApply, RandomResizedCrop
from torchvision.transforms import functional as TF

from mmdecouple.datasets.seeding import derive_seeds, sample_rng
from mmdecouple.evaluation.segmentation.images import SegmentationImages, to_tensors
from mmdecouple.evaluation.segmentation.label_sources import IGNORE
from mmdecouple.utils.errors import UserError

# Queries and entries that are compared at once: at most 64 MiB of similarities.
_QUERIES, _ENTRIES = 1024, 16384
_JITTER = tuple({key: 0.1} for key in ('brightness', 'contrast', 'saturation', 'hue'))


class MemoryImages(Dataset):
    """Random crops with changed colors: area in U(0.5, 2) of the image, aspect ratio in [3/4, 4/3], four color jitters.

    A crop that would be larger than the image is drawn again up to ten times; afterwards it is the central part with
    the nearest allowed aspect ratio. Each jitter (brightness, contrast, saturation, hue by up to 0.1) is applied with
    probability 0.5.

    Args:
        images: Images that are augmented.
        seed: Seed of the draws.
        epoch: Epoch of the draws; equal (seed, epoch, index) give equal pixels.

    Source: `vpariza/open-hummingbird-eval` `hbird/utils/transforms.py`, `get_hbird_train_transforms`.
    """

    def __init__(self, images: SegmentationImages, seed: int, epoch: int) -> None:
        self.images, self.seed, self.epoch = images, seed, epoch
        self._jitters = [RandomApply([ColorJitter(**setting)]) for setting in _JITTER]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """See `SegmentationImages`."""
        image, labels = self.images.read(index)
        with sample_rng(self.seed, self.epoch, index):
            image, labels = self._crop(image, labels)
            for jitter in self._jitters:
                image = jitter(image)
        return to_tensors(image, labels)

    def _crop(self, image: Image.Image, labels: Image.Image) -> tuple[Image.Image, Image.Image]:
        window, side = RandomResizedCrop.get_params(image, [0.5, 2.0], [3 / 4, 4 / 3]), [self.images.size] * 2
        return (
            TF.resized_crop(image, *window, side, InterpolationMode.BILINEAR),
            TF.resized_crop(labels, *window, side, InterpolationMode.NEAREST),
        )


class LabelMemory:
    """Normalized features of patches, each with the shares of the classes among its labelled pixels.

    Args:
        classes: Number of classes C.
        device: Device of the entries.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.classes, self.device = classes, device
        self._features: list[Tensor] = []
        self._shares: list[Tensor] = []

    def add(self, features: Tensor, labels: Tensor, keys: list[tuple[int, ...]], per_image: int | None) -> None:
        """Adds patches of a batch of images.

        If `per_image` is given, those with the smallest score are added: the sum, over the classes in the patch, of the
        number of patches of the image that contain the class, times a draw from U(0, 1). Patches without a labelled
        pixel are never added.

        Args:
            features: `(B, D, h, w)`.
            labels: uint8 `(B, S, S)`.
            keys: Key of the draws of each image.
            per_image: Largest number of patches per image; None for all.

        Source: `vpariza/open-hummingbird-eval` `hbird/hbird_eval.py`, `_sample_features`.
        """
        shares = class_shares(labels, features.shape[2:], self.classes)
        for feature, share, key in zip(features.flatten(2).transpose(1, 2), shares, keys):
            present = (share > 0).float()
            labelled = present.any(1).nonzero()[:, 0]
            if per_image is not None and per_image < len(labelled):
                draws = torch.rand(len(present), generator=torch.Generator().manual_seed(key_seed(key)))
                scores = (present @ present.sum(0)).cpu() * draws
                rank = scores[labelled.cpu()].argsort(stable=True)[:per_image]
                labelled = labelled[rank.to(labelled.device)]
            self._features.append(F.normalize(feature[labelled], dim=1))
            self._shares.append(share[labelled])

    def __len__(self) -> int:
        return sum(map(len, self._features))

    def freeze(self) -> None:
        """Joins the entries; to be called once, after the last `add`.

        Raises:
            UserError: There is no entry.
        """
        if not len(self):
            raise UserError('retrieval: no patch of the training images has a labelled pixel; use other data (--data).')
        self._features, self._shares = [torch.cat(self._features)], [torch.cat(self._shares)]

    def look_up(self, queries: Tensor, neighbors: int, temperature: float) -> Tensor:
        """Returns the class shares of patches, read from their nearest entries.

        Args:
            queries: Features `(Q, D)`.
            neighbors: Number k of nearest entries by cosine similarity; all entries if there are fewer.
            temperature: Temperature of the softmax over the k similarities.

        Returns:
            float32 `(Q, C)`: shares of the k entries, weighted by the softmax.
        """
        (features,), (shares,) = self._features, self._shares
        found = []
        for part in F.normalize(queries, dim=1).split(_QUERIES):
            best = part.new_empty(len(part), 0), torch.empty(len(part), 0, dtype=torch.long, device=part.device)
            for start in range(0, len(features), _ENTRIES):
                near = part @ features[start : start + _ENTRIES].T
                values, places = near.topk(min(neighbors, near.shape[1]))
                both = torch.cat([best[0], values], 1), torch.cat([best[1], places + start], 1)
                values, order = both[0].topk(min(neighbors, both[0].shape[1]))
                best = values, both[1].gather(1, order)
            weights = (best[0] / temperature).softmax(1)
            found.append(torch.einsum('qk,qkc->qc', weights, shares[best[1]]))
        return torch.cat(found) if found else queries.new_zeros(0, self.classes)


def class_shares(labels: Tensor, grid: tuple[int, int], classes: int) -> Tensor:
    """Returns the share of each class among the labelled pixels of each cell; zeros for a cell without any.

    Args:
        labels: uint8 `(B, S, S)`, in [0, C) or `IGNORE`.
        grid: Number of rows h and columns w of cells; pixel i lies in the row floor(i * h / S).
        classes: Number of classes C.

    Returns:
        float32 `(B, h * w, C)`.
    """
    images, height, width = labels.shape
    rows = torch.arange(height, device=labels.device) * grid[0] // height
    columns = torch.arange(width, device=labels.device) * grid[1] // width
    cells = (rows[:, None] * grid[1] + columns).expand(images, -1, -1)
    cells = cells + torch.arange(images, device=labels.device)[:, None, None] * (grid[0] * grid[1])
    labelled = labels != IGNORE
    places = cells[labelled] * classes + labels[labelled].long()
    counts = torch.bincount(places, minlength=images * grid[0] * grid[1] * classes).view(images, -1, classes).float()
    return counts / counts.sum(2, keepdim=True).clamp_min(1)


def key_seed(key: tuple[int, ...]) -> int:
    """Returns the seed of the draws that depend on a key only."""
    return derive_seeds(*key, stream='iteration')[0]
