"""Sources of images and label maps at their original size."""

from typing import Protocol

import numpy as np
from PIL import Image

from mmdecouple.datasets.listing import find_missing
from mmdecouple.datasets.reading import UnreadableImage, read_image, read_stored
from mmdecouple.datasets.scene_datasets import SceneObjects
from mmdecouple.utils.errors import MissingFile, UserError

IGNORE = 255

_PNG = b'\x89PNG\r\n\x1a\n'


class LabelSource(Protocol):
    """Interface of images with a class for every pixel.

    Attributes:
        name: Name of the data in reports.
        classes: Names of the classes; label i is the i-th class, and `IGNORE` is none of them.
        size: Default side in pixels to which images are resized.
        notes: Remarks for the report.
    """

    name: str
    classes: tuple[str, ...]
    size: int
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images."""

    def read(self, index: int) -> tuple[Image.Image, Image.Image]:
        """Returns an RGB image and its label map (mode L), which have the same size."""


class LabelFiles:
    """Image files with index images.

    Args:
        name: See `LabelSource`.
        classes: See `LabelSource`.
        pairs: Paths of each image and of its index image (palette or gray, 8 bit).
        table: uint8 `(256,)`, label of each stored value; None if the stored value is the label.
        notes: See `LabelSource`.

    Raises:
        MissingFile: Files are missing.
        UserError: There is no image.
    """

    size = 448

    def __init__(
        self,
        name: str,
        classes: tuple[str, ...],
        pairs: list[tuple[str, str]],
        table: np.ndarray | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name, self.classes, self.pairs, self.table, self.notes = name, tuple(classes), pairs, table, notes
        if not pairs:
            raise UserError(f'{name}: no image has a label map; check the path given with --data.')
        for kind, paths in zip(('images', 'label maps'), zip(*pairs)):
            missing = find_missing(list(paths))
            if missing:
                raise MissingFile(
                    f'{name}: {len(missing)} of {len(paths)} {kind} do not exist, the first is '
                    f'{missing[0]}; complete the data set or choose another path with --data.'
                )

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[Image.Image, Image.Image]:
        """See `LabelSource.read`; the EXIF orientation is not applied, as labels refer to the stored pixels."""
        image_path, label_path = self.pairs[index]
        try:
            image = Image.fromarray(read_image(image_path, upright=False))
        except UnreadableImage as error:
            raise UserError(
                f'{self.name}: {image_path} is not a readable image ({error}); replace the file.'
            ) from error
        values = self.labels(index)
        if values.shape != (image.height, image.width):
            raise UserError(
                f'{self.name}: {label_path} has {values.shape[1]} x {values.shape[0]} pixels, its image '
                f'{image.size[0]} x {image.size[1]}; use the label maps of these images.'
            )
        return image, Image.fromarray(values)

    def labels(self, index: int) -> np.ndarray:
        """Returns the label map alone, uint8 `(H, W)`, without decoding the image."""
        label_path = self.pairs[index][1]
        values = np.asarray(read_labels(label_path))
        values = values if self.table is None else self.table[values]
        wrong = values[(values >= len(self.classes)) & (values != IGNORE)]
        if wrong.size:
            raise UserError(
                f'{self.name}: {label_path} holds the value {wrong[0]}, but there are '
                f'{len(self.classes)} classes and {IGNORE} to ignore; use label maps of this layout (--data).'
            )
        return values


class SceneLabels:
    """Built-in scenes with label maps: label 0 is background, label i + 1 is class i.

    Args:
        num_images: Number of scenes, at least 1.
        split: `train` or `val`.
        scenes: Settings of `SceneSpec`; None for the defaults.
    """

    notes = ()

    def __init__(self, num_images: int, split: str, scenes: dict | None = None) -> None:
        self.objects = SceneObjects(num_images, split, scenes)
        self.name, self.classes = self.objects.name, ('background', *self.objects.classes)
        self.size = min(self.objects.spec.size)

    def __len__(self) -> int:
        return len(self.objects)

    def read(self, index: int) -> tuple[Image.Image, Image.Image]:
        """See `LabelSource.read`."""
        item = self.objects.objects(index)
        labels = (item.masks * (item.labels + 1)[:, None, None]).sum(0).astype(np.uint8)
        return Image.fromarray(item.image), Image.fromarray(labels)


def read_labels(path: str) -> Image.Image:
    """Reads an index image, of mode L or P.

    Raises:
        UserError: The file cannot be read, or its values are not 8-bit indices.
    """
    try:
        labels = read_stored(path)
    except UnreadableImage as error:
        raise UserError(f'{path} is not a readable label map ({error}); replace the file.') from error
    bits = _gray_bits(path) if labels.mode == 'L' else 8
    if labels.mode not in ('L', 'P') or bits < 8:
        found = f'mode {labels.mode}' if bits == 8 else f'{bits} bits per pixel, whose values are scaled to 8 bits'
        raise UserError(f'{path} has {found}; replace it with an 8-bit gray or palette image of class indices.')
    return labels


def _gray_bits(path: str) -> int:
    """Returns the bits per pixel of a gray PNG, of which Pillow scales those below 8 to [0, 255]; 8 for other files."""
    with open(path, 'rb') as file:
        start = file.read(25)
    return start[24] if len(start) == 25 and start.startswith(_PNG) else 8
