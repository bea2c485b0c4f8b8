"""Box proposals of a data set in one file.

A proposal file is an `.npz` archive without pickled objects. It contains these arrays for n images and N boxes:

    header    uint8   UTF-8 JSON: format, version, dataset (name), parameters (how the boxes were made), clipped and
                      dropped (number of boxes that were partly or entirely outside their image)
    names     uint8   UTF-8 image names relative to the image folder, joined by NUL
    sizes     int32   (n, 2) height, width of each image in pixels; 0, 0 where the image could not be read
    offsets   int64   (n + 1,) the boxes of image i are boxes[offsets[i]:offsets[i + 1]]
    boxes     uint16, or int32 for images beyond 65,535 pixels: (N, 4) x1, y1, x2, y2 in pixels, inside the image,
              right and bottom edge exclusive

The file contains no date, so that equal proposals give equal bytes.
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
MAKE_ONE = 'make one with `mmdecouple proposals`'


class ProposalFile:
    """Box proposals of n images; the docstring of the module describes the format.

    Attributes:
        path: Path of the file.
        header: Format, name of the data set, and parameters.
        names: Image names relative to the image folder.
        sizes: Height and width in pixels, int32 `(n, 2)`; 0, 0 for images that could not be read.
        offsets: Index of the first box of each image, and N, int64 `(n + 1,)`.
        all_boxes: Boxes of all images, uint16 or int32 `(N, 4)`.
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
        """Reads a file.

        Raises:
            MissingFile: The file does not exist.
            UserError: The file is not a proposal file, has a newer version, or is damaged.
        """
        path = str(path)
        if not os.path.exists(path):
            raise MissingFile(
                f'ProposalFile: the file {path!r} does not exist; {MAKE_ONE}, or draw random boxes with the transform '
                'GridProposals.'
            )
        check_regular(path, 'proposal file')
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays['header'].tobytes())
                names = _split(arrays['names'])
                sizes, offsets, boxes = (_whole_numbers(arrays[key], key) for key in ('sizes', 'offsets', 'boxes'))
            kind, version, _ = header['format'], header['version'], str(header['dataset'])
        # For a damaged archive, numpy and zipfile raise many kinds of errors (zlib.error, MemoryError, RuntimeError).
        except Exception as error:
            reason = (str(error).partition('\n')[0] or type(error).__name__)[:60]
            raise UserError(
                f'ProposalFile: {shown(path, 120)} is not a proposal file ({reason}); {MAKE_ONE} (its --import reads '
                "SoCo's JSON)."
            ) from error
        if (kind, version) != (FORMAT, VERSION):
            raise UserError(
                f'ProposalFile: {shown(path, 120)} has the format {shown(kind)}, version {shown(version)}; '
                f'this package reads {FORMAT!r}, version {VERSION}.'
            )
        _check(path, names, sizes, offsets, boxes)
        return cls(path, header, names, sizes, offsets, boxes)

    def boxes(self, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """Returns the boxes of one image.

        Args:
            name: Name of the image relative to the image folder, or a path that ends with it.
            size: Height and width of the image in pixels, to compare with the file; None for no check.

        Returns:
            x1, y1, x2, y2 in pixels, with exclusive right and bottom edges, float32 `(N, 4)`; N may be 0.

        Raises:
            UserError: The file does not contain the image, or its size differs.
        """
        place = self._place(name)
        if size is not None and tuple(size) != tuple(self.sizes[place].tolist()):
            height, width = self.sizes[place].tolist()
            raise UserError(
                f'ProposalFile: image {name!r} is {size[0]} x {size[1]} pixels (height x width), but {height} x '
                f'{width} in {self.path!r}, which was made for data set {self.header["dataset"]!r}; {MAKE_ONE} for '
                'these images.'
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
    """Writes a proposal file atomically.

    Boxes are clipped to their image, and boxes of less than a pixel are dropped; the header contains both counts.

    Args:
        path: File to write.
        names: Unique image names relative to the image folder.
        sizes: Height and width of each image in pixels; 0, 0 for an image that could not be read.
        boxes: Boxes of each image, x1, y1, x2, y2 in whole pixels, with exclusive right and bottom edges, `(N_i, 4)`.
        dataset: Name of the data set, for messages.
        parameters: Parameters of the proposals, JSON-serializable.

    Returns:
        The header of the file.

    Raises:
        UserError: There is no image, or two images have the same name.
    """
    if not names or len(set(names)) < len(names):
        twice = next((name for name in names if list(names).count(name) > 1), None)
        problem = f'two images are named {twice!r}' if names else 'there is no image'
        raise UserError(f'write_proposals: {problem}; give images with unique names.')
    sizes = np.array(sizes, np.int32).reshape(-1, 2)
    counts = [len(some) for some in boxes]
    given = np.concatenate([np.asarray(some, np.int64).reshape(-1, 4) for some in boxes])
    limits = np.tile(np.repeat(sizes[:, ::-1], counts, axis=0), 2)
    clipped = np.clip(given, 0, limits)
    valid = (clipped[:, 2:] > clipped[:, :2]).all(1)
    changed = (clipped != given).any(1)
    owners = np.repeat(np.arange(len(names)), counts)[valid]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(names)))]).astype(np.int64)
    header = dict(
        format=FORMAT,
        version=VERSION,
        dataset=dataset,
        parameters=parameters,
        clipped=int((changed & valid).sum()),
        dropped=int((~valid).sum()),
    )
    content = io.BytesIO()
    np.savez_compressed(
        content,
        header=_bytes(json.dumps(header, sort_keys=True)),
        names=_bytes('\0'.join(names)),
        sizes=sizes,
        offsets=offsets,
        boxes=clipped[valid].astype(np.uint16 if sizes.max() < 2**16 else np.int32),
    )
    write_bytes(path, content.getvalue())
    return header


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _split(names: np.ndarray) -> list[str]:
    return names.tobytes().decode().split('\0')


def _whole_numbers(values: np.ndarray, key: str) -> np.ndarray:
    if values.dtype.kind not in 'iu':
        raise ValueError(f'{key} contains {values.dtype}, not whole numbers')
    # Signed, because differences of unsigned offsets are never negative.
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
        raise UserError(f'ProposalFile: {shown(path, 120)} lists an image twice; {MAKE_ONE}.')
    limits = np.repeat(sizes[:, ::-1], np.diff(offsets), axis=0)
    bad = ((boxes[:, :2] < 0) | (boxes[:, :2] >= boxes[:, 2:]) | (boxes[:, 2:] > limits)).any(1)
    if bad.any():
        box = int(bad.argmax())
        image = int(np.searchsorted(offsets, box, side='right')) - 1
        raise UserError(
            f'ProposalFile: box {box} of {path!r} {tuple(boxes[box].tolist())} is not a box inside the image '
            f'{names[image]!r} of {sizes[image][1]} x {sizes[image][0]} pixels (width x height); write files with '
            'mmdecouple.datasets.proposals.write_proposals, which clips boxes.'
        )
