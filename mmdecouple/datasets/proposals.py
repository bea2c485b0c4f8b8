"""Box proposals of a data set in one file.

A proposal file is an `.npz` archive without pickled objects, with these arrays for n images and N boxes:

    header    uint8   UTF-8 JSON: format, version, dataset (name), parameters (how the boxes were made), clipped and
                      dropped (how many boxes reached, or lay, outside their image)
    names     uint8   UTF-8 image names relative to the image folder, joined by NUL
    sizes     int32   (n, 2) height, width of each image in pixels; 0, 0 where the image could not be read
    offsets   int64   (n + 1,) the boxes of image i are boxes[offsets[i]:offsets[i + 1]]
    boxes     uint16, or int32 for images beyond 65,535 pixels: (N, 4) x1, y1, x2, y2 in pixels, inside the image,
              right and bottom edge exclusive

It holds no date, so that equal proposals give equal bytes.
"""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular, write_bytes

FORMAT, VERSION = 'mmdecouple-proposals', 1
MAKE_ONE = 'make one with tools/dataset_tools/selective_search.py'


class ProposalFile:
    """The boxes of a data set's images; see the module for the format.

    Attributes:
        path: Where the file lies.
        header: Format, data set name and parameters.
        names: n image names relative to the image folder.
        sizes: int32 `(n, 2)` height, width in pixels; 0, 0 where the image could not be read.
        offsets: int64 `(n + 1,)`.
        all_boxes: uint16 or int32 `(N, 4)`.
    """

    def __init__(
        self,
        path: str,
        header: dict[str, Any],
        names: list[str],
        sizes: np.ndarray,
        offsets: np.ndarray,
        boxes: np.ndarray,
    ) -> None:
        self.path, self.header, self.names = path, header, names
        self.sizes, self.offsets, self.all_boxes = sizes, offsets, boxes
        self._places = {name: place for place, name in enumerate(names)}

    @classmethod
    def open(cls, path: str | Path) -> 'ProposalFile':
        """Reads a whole file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no proposal file, a newer version, or damaged.
        """
        path = str(path)
        if not os.path.exists(path):
            raise MissingFile(
                f'ProposalFile: there is no file {path!r}; {MAKE_ONE}, or draw random boxes with '
                'the transform GridProposals.'
            )
        check_regular(path, 'proposal file')
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays['header'].tobytes())
                names = _split(arrays['names'])
                sizes, offsets, boxes = (_whole_numbers(arrays[key], key) for key in ('sizes', 'offsets', 'boxes'))
            kind, version, _ = header['format'], header['version'], str(header['dataset'])
        # What numpy and zipfile raise at a damaged archive is nearly anything (zlib.error, MemoryError, RuntimeError).
        except Exception as error:
            reason = (str(error).partition('\n')[0] or type(error).__name__)[:60]
            raise UserError(
                f'ProposalFile: {shown(path, 120)} is no proposal file ({reason}); {MAKE_ONE} (its '
                "--import reads SoCo's JSON)."
            ) from error
        if (kind, version) != (FORMAT, VERSION):
            raise UserError(
                f'ProposalFile: {shown(path, 120)} has the format {shown(kind)}, version {shown(version)}; '
                f'this package reads {FORMAT!r}, version {VERSION}.'
            )
        _check(path, names, sizes, offsets, boxes)
        return cls(path, header, names, sizes, offsets, boxes)

    def boxes(self, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """Boxes of one image.

        Args:
            name: The image's name relative to the image folder, or a path that ends with it.
            size: Height and width of the image at hand; checked if given.

        Returns:
            float32 `(N, 4)` x1, y1, x2, y2 in pixels of the image, right and bottom edge exclusive; N may be 0.

        Raises:
            ValueError: The file does not hold this image, or an image of another size.
        """
        place = self._place(name)
        if size is not None and tuple(size) != tuple(self.sizes[place].tolist()):
            height, width = self.sizes[place].tolist()
            raise UserError(
                f'ProposalFile: image {name!r} is {size[0]} x {size[1]} pixels (height x width), in '
                f'{self.path!r} {height} x {width}; the file was made for data set '
                f'{self.header["dataset"]!r}: {MAKE_ONE} for these images.'
            )
        return self.all_boxes[self.offsets[place] : self.offsets[place + 1]].astype(np.float32)

    def _place(self, name: str) -> int:
        tail = name
        while tail not in self._places:
            _, separator, tail = tail.partition('/')
            if not separator:
                raise UserError(
                    f'ProposalFile: image {name!r} is not in {self.path!r}, which was made for data set '
                    f'{self.header["dataset"]!r} ({len(self.names)} images, the first is '
                    f'{self.names[0]!r}); {MAKE_ONE} for these images.'
                )
        return self._places[tail]


def write_proposals(
    path: str | Path,
    names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[np.ndarray],
    dataset: str,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """Writes a proposal file, whole or not at all.

    Boxes are clipped to their image; what has less than a pixel left is dropped. Both are counted.

    Args:
        path: File to write.
        names: n different image names relative to the image folder.
        sizes: Height and width of each image; 0, 0 for one that could not be read.
        boxes: For each image `(N_i, 4)` x1, y1, x2, y2 in whole pixels, right and bottom edge exclusive.
        dataset: Name of the data set, for messages.
        parameters: How the boxes were made; JSON-able.

    Returns:
        The header of the file.

    Raises:
        ValueError: No image, or two images of one name.
    """
    if not names or len(set(names)) < len(names):
        twice = next((name for name in names if list(names).count(name) > 1), None)
        raise UserError(f'write_proposals: {f"two images are named {twice!r}" if names else "there is no image"}.')
    sizes = np.array(sizes, np.int32).reshape(-1, 2)
    counts = [len(some) for some in boxes]
    wanted = np.concatenate([np.asarray(some, np.int64).reshape(-1, 4) for some in boxes])
    limits = np.tile(np.repeat(sizes[:, ::-1], counts, axis=0), 2)
    clipped = np.clip(wanted, 0, limits)
    kept = (clipped[:, 2:] > clipped[:, :2]).all(1)
    changed = (clipped != wanted).any(1)
    owners = np.repeat(np.arange(len(names)), counts)[kept]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(names)))]).astype(np.int64)
    header = dict(
        format=FORMAT,
        version=VERSION,
        dataset=dataset,
        parameters=parameters,
        clipped=int((changed & kept).sum()),
        dropped=int((~kept).sum()),
    )
    content = io.BytesIO()
    np.savez_compressed(
        content,
        header=_bytes(json.dumps(header, sort_keys=True)),
        names=_bytes('\0'.join(names)),
        sizes=sizes,
        offsets=offsets,
        boxes=clipped[kept].astype(np.uint16 if sizes.max() < 2**16 else np.int32),
    )
    write_bytes(path, content.getvalue())
    return header


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _split(names: np.ndarray) -> list[str]:
    return names.tobytes().decode().split('\0')


def _whole_numbers(values: np.ndarray, key: str) -> np.ndarray:
    if values.dtype.kind not in 'iu':
        raise ValueError(f'{key} holds {values.dtype}, not whole numbers')
    # Differences of unsigned offsets are never negative.
    return values.astype(np.int64) if key == 'offsets' else values


def _check(path: str, names: list[str], sizes: np.ndarray, offsets: np.ndarray, boxes: np.ndarray) -> None:
    fits = (
        sizes.shape == (len(names), 2)
        and offsets.shape == (len(names) + 1,)
        and boxes.ndim == 2
        and boxes.shape[1] == 4
        and offsets[0] == 0
        and offsets[-1] == len(boxes)
        and (np.diff(offsets) >= 0).all()
    )
    if not fits:
        raise UserError(
            f'ProposalFile: the arrays of {path!r} do not fit together ({len(names)} names, sizes '
            f'{sizes.shape}, offsets {offsets.shape}, boxes {boxes.shape}); {MAKE_ONE}.'
        )
    if len(set(names)) < len(names):
        raise UserError(f'ProposalFile: {shown(path, 120)} names an image twice; {MAKE_ONE}.')
    limits = np.repeat(sizes[:, ::-1], np.diff(offsets), axis=0)
    bad = ((boxes[:, :2] < 0) | (boxes[:, :2] >= boxes[:, 2:]) | (boxes[:, 2:] > limits)).any(1)
    if bad.any():
        box = int(bad.argmax())
        image = int(np.searchsorted(offsets, box, side='right')) - 1
        raise UserError(
            f'ProposalFile: box {box} of {path!r} {tuple(boxes[box].tolist())} is no box inside the image '
            f'{names[image]!r} of {sizes[image][1]} x {sizes[image][0]} pixels (width x height); write '
            'files with mmdecouple.datasets.proposals.write_proposals, which clips.'
        )
