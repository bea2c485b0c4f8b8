"""Sample images of one size from any data, with points on known objects."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdecouple.datasets.listing import list_images
from mmdecouple.datasets.objects import ObjectDataset, ObjectImage
from mmdecouple.datasets.packs import Pack
from mmdecouple.datasets.reading import UnreadableImage, decode_image, read_image
from mmdecouple.datasets.resizing import resize
from mmdecouple.evaluation.probes.suites import data_probe
from mmdecouple.registry import DATASETS
from mmdecouple.utils.data_spec import OBJECTS, PICTURES, DataSpec, image_files, read_spec
from mmdecouple.utils.errors import MissingFile, UserError

from .affinity import largest_instance_point

_SCENES = 16


class SampleImage(NamedTuple):
    """Sample image.

    Attributes:
        name: Name in titles and file names.
        image: uint8 RGB `(size, size, 3)`.
        points: Center of the largest instance, x and y as shares of width and height in [0, 1]; empty without a known
            instance.
        boxes: x1, y1, x2, y2 of the known instances as shares of width and height, the largest first.
        original: Function that reads the image again at its own size, uint8 RGB `(H, W, 3)`; None if `image` is all
            there is.
    """

    name: str
    image: np.ndarray
    points: tuple[tuple[float, float], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    original: Callable[[], np.ndarray] | None = None


def read_sample_images(
    specs: str | Path | Sequence[str | Path], size: int, limit: int | None = None
) -> list[SampleImage]:
    """Reads images and resizes them to squares, regardless of their aspect ratio.

    Args:
        specs: One or several specifications of data, see `read_spec`: an image file; a folder, searched
            recursively; the images of a list or a pack; validation images of COCO with an instance; built-in scenes,
            rendered at `size`.
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
    data = [read_spec(str(spec), PICTURES) for spec in specs]
    found = list(islice((subject for each in data for subject in _read(each, size)), limit))
    if not found:
        raise UserError(f'Images: {" ".join(map(str, specs)) or "nothing"} gives no image; name other data (--data).')
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


def _read(data: DataSpec, size: int) -> Iterator[SampleImage]:
    if data.kind in OBJECTS:
        objects = data_probe(data, {}, size if data.kind == 'scenes' else None)['objects']
        yield from _objects({**objects, 'num_images': _SCENES} if data.kind == 'scenes' else objects, size)
    elif data.kind == 'pack':
        pack = Pack(data.path)
        for index in range(len(pack)):
            yield _image(pack.name(index), partial(decode_image, pack.content(index)), size)
    else:
        for path in _paths(data):
            yield _image(path, partial(read_image, path), size)


def _paths(data: DataSpec) -> Sequence[str]:
    if data.kind == 'folder' and not Path(data.path).is_dir():
        if not Path(data.path).exists():
            raise MissingFile(f'Images: the file or folder {data.path} does not exist; name another one (--data).')
        return [data.path]
    folder, listing, _ = image_files(data)
    try:
        return list_images('', listing, folder)
    except UserError as error:
        if listing or isinstance(error, MissingFile):
            raise
        raise UserError(f'Images: the folder {folder} holds no image; name other data (--data).') from None


def _image(name: str, read: Callable[[], np.ndarray], size: int) -> SampleImage:
    try:
        return SampleImage(Path(name).stem, resize(read(), (size, size)), original=read)
    except UnreadableImage as error:
        raise UserError(f'Images: {name} cannot be read ({error}); remove it, or name other data (--data).') from None


def _objects(config: dict, size: int) -> Iterator[SampleImage]:
    dataset = DATASETS.build(config)
    for index in range(len(dataset)):
        if len(dataset.info(index)['ids']):
            item = dataset.objects(index)
            points = (largest_instance_point(item),) if item.masks.any() else ()
            yield SampleImage(
                f'{dataset.name}-{item.image_id}',
                resize(item.image, (size, size)),
                points,
                _shares(item),
                partial(_pixels, dataset, index),
            )


def _shares(item: ObjectImage) -> tuple[tuple[float, float, float, float], ...]:
    height, width = item.image.shape[:2]
    boxes = item.boxes.astype(float) / (width, height, width, height)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return tuple(map(tuple, boxes[np.argsort(-areas, kind='stable')].tolist()))


def _pixels(dataset: ObjectDataset, index: int) -> np.ndarray:
    return dataset.objects(index).image
