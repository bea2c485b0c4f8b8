"""The images of an annotation file in a pack."""

import os
from collections.abc import Sequence

import numpy as np

from mmdecouple.datasets.pack_format import HEAD
from mmdecouple.datasets.packs import Pack, PackedPaths
from mmdecouple.datasets.reading import decode_image
from mmdecouple.utils.errors import MissingFile, UserError, shown


def is_pack(folder: str) -> bool:
    """Returns whether a local folder is a pack."""
    return os.path.isfile(os.path.join(folder, HEAD))


class PackedSubset:
    """Images of a pack with given names, for annotations that refer to their pixels.

    Args:
        root: Folder of the pack.
        names: Names of the images relative to their source folder.
        ann_file: Annotation file that lists them, for messages.

    Raises:
        MissingFile: An image is not in the pack.
        UserError: The pack is damaged, or its images were reduced.
    """

    def __init__(self, root: str, names: Sequence[str], ann_file: str) -> None:
        self._pack = Pack(root)
        if self._pack.settings.get('shorter_side'):
            raise UserError(
                f'{shown(root, 100)} is a pack of reduced images, but masks and boxes of {shown(ann_file, 100)} refer '
                'to pixels of the files; give their folder, or a pack without --shorter-side (config key img_prefix).'
            )
        self._paths = PackedPaths(self._pack)
        places = {self._pack.name(place): place for place in range(len(self._pack))}
        found = [places.get(name.replace('\\', '/'), places.get(name, -1)) for name in names]
        if -1 in found:
            raise MissingFile(
                f'{found.count(-1)} of {len(names)} images of {shown(ann_file, 100)} are not in the pack '
                f'{shown(root, 100)}, the first is {shown(names[found.index(-1)])} (config key img_prefix).'
            )
        self._places = np.array(found, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> str:
        """Returns the folder of the pack with the name of an image, which is not a file on disk."""
        return self._paths[int(self._places[index])]

    def read(self, index: int) -> np.ndarray:
        """Returns the pixels of an image as they are stored, without its EXIF orientation, uint8 `(H, W, 3)`.

        Raises:
            UnreadableImage: The image cannot be read.
        """
        return decode_image(self._pack.content(int(self._places[index])), upright=False)
