"""Sample images of one size from files, folders, COCO or built-in scenes, with points on known objects."""

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

SOURCES = 'an image file, a folder of images, coco:ROOT, scenes or scenes:CONFIG'


class SampleImage(NamedTuple):
    """Sample image.

    Attributes:
        name: Name in titles and file names.
        image: uint8 RGB `(size, size, 3)`.
        points: Center of the largest instance, x and y as shares of width and height in [0, 1]; empty without a known
            instance.
    """

    name: str
    image: np.ndarray
    points: tuple[tuple[float, float], ...] = ()


def read_sample_images(
    specs: str | Path | Sequence[str | Path], size: int, limit: int | None = None
) -> list[SampleImage]:
    """Reads images and resizes them to squares, regardless of their aspect ratio.

    Args:
        specs: One or several sources: an image file; a folder, searched recursively; `coco:ROOT` or
            `coco:ROOT:TRAIN:VAL` for validation images with an instance; `scenes` or `scenes:CONFIG` for built-in
            scenes, rendered at `size` with the default settings or those of a config.
        size: Side in pixels.
        limit: Maximum number of images; None for all images, or for 16 scenes.

    Returns:
        At least one image, in the order of `specs`.

    Raises:
        MissingFile: A file, folder or annotation file does not exist.
        UserError: There is no image, or an image cannot be read.
    """
    specs = [specs] if isinstance(specs, (str, Path)) else list(specs)
    if size < 1 or (limit is not None and limit < 1):
        raise UserError(f'Images: size and limit must be at least 1, got size {size} and limit {limit}.')
    found = list(islice((subject for spec in specs for subject in _read(str(spec), size)), limit))
    if not found:
        raise UserError(f'Images: {" ".join(map(str, specs)) or "nothing"} gives no image; name {SOURCES}.')
    return found


def normalized(model: torch.nn.Module, images: Sequence[np.ndarray], cell: int = 1) -> Tensor:
    """Resizes images to whole cells and normalizes them with the preprocessor of a model, on its device.

    Args:
        model: Module with `data_preprocessor`.
        images: N arrays uint8 RGB `(H, W, 3)` of one size.
        cell: Both sides become the nearest multiple of this number of pixels.

    Returns:
        `(N, 3, H', W')`.
    """
    height, width = (max(round(side / cell), 1) * cell for side in images[0].shape[:2])
    tensors = [torch.from_numpy(resize(image, (height, width))).permute(2, 0, 1) for image in images]
    return torch.stack(list(model.data_preprocessor(dict(inputs=tensors), False)['inputs']))


def _read(spec: str, size: int) -> Iterator[SampleImage]:
    kind, *rest = spec.split(':')
    if kind == 'coco' and len(rest) < 4:
        yield from _objects(coco_probe(*rest)['objects'], size)
    elif kind == 'scenes':
        config = load_config(':'.join(rest)) if rest else {}
        yield from _objects({**scene_probe(config, size)['objects'], 'num_images': 16}, size)
    elif Path(spec).is_dir():
        yield from (_file(path, size) for path in _listed(spec))
    elif Path(spec).exists():
        yield _file(spec, size)
    else:
        raise MissingFile(f'Images: the file or folder {spec} does not exist; name {SOURCES}.')


def _listed(folder: str) -> list[str]:
    try:
        return list_images(folder, None, '')
    except ValueError:
        raise UserError(f'Images: the folder {folder} holds no image; name another folder.') from None


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
