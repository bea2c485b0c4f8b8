"""Images to look at: files, folders, COCO or built-in scenes, all at one size, with points where objects are known."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdecouple.datasets.listing import list_images
from mmdecouple.datasets.reading import UnreadableImage, read_image
from mmdecouple.datasets.resizing import resize
from mmdecouple.evaluation.probes.suites import coco_probe, scene_probe
from mmdecouple.registry import DATASETS
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import MissingFile, UserError

from .affinity import largest_instance_point

WORDS = 'an image file, a folder of images, coco:ROOT, scenes or scenes:CONFIG'


class SampleImage(NamedTuple):
    """One image to look at.

    Attributes:
        name (str): For titles and file names.
        image (np.ndarray): uint8 RGB (size, size, 3).
        points (tuple[tuple[float, float], ...]): x, y as shares of width and height, [0, 1]: the center of the largest
            instance; empty where no instance is known.
    """

    name: str
    image: np.ndarray
    points: tuple[tuple[float, float], ...] = ()


def read_sample_images(
    words: str | Path | Sequence[str | Path], size: int, limit: int | None = None
) -> list[SampleImage]:
    """Read images, squashed to squares.

    Args:
        words: What to read, one or several: an image file; a folder, searched recursively; `coco:ROOT` or
            `coco:ROOT:TRAIN:VAL` for validation images with an instance; `scenes` or `scenes:CONFIG` for built-in
            scenes, painted at `size`, those of a config with its settings.
        size: Side in pixels.
        limit: Most images; None for all, but 16 scenes.

    Returns:
        list[SampleImage]: In the order of the words, at least one.

    Raises:
        FileNotFoundError: A file, folder or annotation file does not exist.
        ValueError: There is no image, or one cannot be read.
    """
    words = [words] if isinstance(words, (str, Path)) else list(words)
    if size < 1 or (limit is not None and limit < 1):
        raise UserError(f'Images: size and limit must be at least 1, got size {size} and limit {limit}.')
    found = list(islice((subject for word in words for subject in _read(str(word), size)), limit))
    if not found:
        raise UserError(f'Images: {" ".join(map(str, words)) or "nothing"} gives no image; name {WORDS}.')
    return found


def normalized(model: torch.nn.Module, images: Sequence[np.ndarray], cell: int = 1) -> Tensor:
    """Images as a network takes them: resized to whole cells, normalized by its own preprocessor, on its device.

    Args:
        model: Has `data_preprocessor`.
        images: N arrays uint8 RGB (H, W, 3) of one size.
        cell: Both sides become the nearest multiple of this number of pixels.

    Returns:
        Tensor: (N, 3, H', W').
    """
    height, width = (max(round(side / cell), 1) * cell for side in images[0].shape[:2])
    tensors = [torch.from_numpy(resize(image, (height, width))).permute(2, 0, 1) for image in images]
    return torch.stack(list(model.data_preprocessor(dict(inputs=tensors), False)['inputs']))


def _read(word: str, size: int) -> Iterator[SampleImage]:
    kind, *rest = word.split(':')
    if kind == 'coco' and len(rest) < 4:
        yield from _objects(coco_probe(*rest)['objects'], size)
    elif kind == 'scenes':
        config = load_config(':'.join(rest)) if rest else {}
        yield from _objects({**scene_probe(config, size)['objects'], 'num_images': 16}, size)
    elif Path(word).is_dir():
        yield from (_file(path, size) for path in _listed(word))
    elif Path(word).exists():
        yield _file(word, size)
    else:
        raise MissingFile(f'Images: there is no file or folder {word}; name {WORDS}.')


def _listed(folder: str) -> list[str]:
    try:
        return list_images(folder, None, '')
    except ValueError:
        raise UserError(f'Images: the folder {folder} holds no image; name another.') from None


def _file(path: str, size: int) -> SampleImage:
    try:
        return SampleImage(Path(path).stem, resize(read_image(path), (size, size)))
    except UnreadableImage as error:
        raise UserError(f'Images: {path} cannot be read ({error}); name another file.') from None


def _objects(config: dict, size: int) -> Iterator[SampleImage]:
    dataset = DATASETS.build(config)
    for index in range(len(dataset)):
        if len(dataset.info(index)['ids']):
            item = dataset.objects(index)
            points = (largest_instance_point(item),) if item.masks.any() else ()
            yield SampleImage(f'{dataset.name}-{item.image_id}', resize(item.image, (size, size)), points)
