"""Composition of probe images: removed pixels get ImageNet's mean color, swapped pixels come from another image."""

import numpy as np

from mmdecouple.datasets.resizing import resize

MEAN_COLOR = np.array([124, 116, 104], dtype=np.uint8)


def blank(height: int, width: int) -> np.ndarray:
    """Returns a uint8 image `(height, width, 3)` of ImageNet's mean color, which normalization maps to zero."""
    return np.broadcast_to(MEAN_COLOR, (height, width, 3)).copy()


def boxes_mask(boxes: np.ndarray, size: int) -> np.ndarray:
    """Returns bool `(size, size)`: the union of `boxes` `(N, 4)`, extended to whole pixels."""
    mask = np.zeros((size, size), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        top, left = max(int(np.floor(y1)), 0), max(int(np.floor(x1)), 0)
        mask[top : int(np.ceil(y2)), left : int(np.ceil(x2))] = True
    return mask


def compose(inside: np.ndarray, outside: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns `inside` where `mask` `(H, W)` is True and `outside` elsewhere; images are `(H, W, 3)`."""
    return np.where(mask[..., None], inside, outside)


def cells_touched(mask: np.ndarray, cell: int) -> np.ndarray:
    """Returns bool `(H / cell, W / cell)`: cells that contain at least one True pixel of `mask` `(H, W)`."""
    height, width = mask.shape
    return np.any(mask.reshape(height // cell, cell, width // cell, cell), axis=(1, 3))


def cells_to_pixels(cells: np.ndarray, cell: int) -> np.ndarray:
    """Returns bool cells `(h, w)` enlarged to pixels `(h * cell, w * cell)`."""
    return cells.repeat(cell, axis=0).repeat(cell, axis=1)


def cells_inside(box: np.ndarray, size: int, cell: int) -> np.ndarray:
    """Returns flat indices of the cells whose center is in `box` (pixels), or else of all cells that it touches."""
    grid = size // cell
    centers = (np.arange(grid) + 0.5) * cell
    columns = (centers >= box[0]) & (centers < box[2])
    rows = (centers >= box[1]) & (centers < box[3])
    inside = np.flatnonzero(rows[:, None] & columns)
    return inside if len(inside) else np.flatnonzero(cells_touched(boxes_mask(box[None], size), cell))


def remove_cells(image: np.ndarray, cells: np.ndarray, cell: int) -> np.ndarray:
    """Returns `image` with the cells at the given flat indices filled with the mean color."""
    height, width = image.shape[:2]
    removed = np.zeros((height // cell) * (width // cell), dtype=bool)
    removed[np.asarray(cells, dtype=np.int64)] = True
    pixels = cells_to_pixels(removed.reshape(height // cell, width // cell), cell)
    return compose(blank(height, width), image, pixels)


def shrink_object(image: np.ndarray, box: np.ndarray, factor: float) -> np.ndarray:
    """Returns `image` with the content of `box` scaled about its center; the rest of the box gets the mean color."""
    if factor == 1:
        return image.copy()
    x1, y1 = np.floor(box[:2]).astype(int).clip(0)
    x2, y2 = np.minimum(np.ceil(box[2:]).astype(int), image.shape[1::-1])
    width, height = x2 - x1, y2 - y1
    small_w, small_h = max(round(width * factor), 1), max(round(height * factor), 1)
    small = resize(image[y1:y2, x1:x2], (small_h, small_w))
    out = image.copy()
    out[y1:y2, x1:x2] = MEAN_COLOR
    top, left = y1 + (height - small_h) // 2, x1 + (width - small_w) // 2
    out[top : top + small_h, left : left + small_w] = small
    return out
