"""Selective search with the parameters of SoCo, which finds the same regions as SoCo's script.

The segmentation and the texture codes are computed by scikit-image, as in SoCo; the merging is vectorized here.
Existing libraries are not suitable:

- OpenCV's `ximgproc` is faster and its boxes are slightly better, but they differ from SoCo's (other texture features,
  actual neighbors), and it is part of `opencv-contrib-python`, which overwrites the `cv2` of the `opencv-python` that
  mmcv requires.
- `selectivesearch` (2017) and `selective-search` (2022) on PyPI have MIT licenses but are no longer maintained, and
loop
  over pixels or regions in Python.

Measured on 100 images of COCO, with SoCo's parameters and filter (recall at IoU 0.5 of the objects whose box is within
the limits of the filter):

    this module        1.2 images/s and core    55 boxes an image    recall 0.77
    SoCo's script      0.5 images/s and core    the same boxes, in the same order (6 of the images)
    OpenCV, 1 strategy 2.6 images/s and core    25 boxes an image    recall 0.84

Source: `hologerry/SoCo` `selective_search/selective_search.py` and `filters.py`, after Uijlings et al., "Selective
Search for Object Recognition".
"""

import heapq

import numpy as np
from skimage.feature import local_binary_pattern
from skimage.segmentation import felzenszwalb

_VALUE_BINS, _TEXTURE_BINS = 25, 10


def selective_search(image: np.ndarray, scale: float = 300, sigma: float = 0.9, min_size: int = 100) -> np.ndarray:
    """Returns the boxes of all regions of a greedy merging, including the initial segments.

    The two most similar neighbors are merged until there are no neighbors. The similarity is the sum of the histogram
    intersections of value (25 bins) and texture (local binary patterns, 10 bins per channel), `1 - (s_a + s_b) / S`
    (size) and `1 - (|box of both| - s_a - s_b) / S` (fill), where S is the number of pixels of the image.

    Three properties of SoCo's script are kept, because they determine the boxes. Two regions are neighbors if a corner
    of one box lies strictly inside the other box. Only the value contributes to the HSV histogram, since all hues and
    saturations (0 to 1) are in the first bin of 0 to 255. The area of a box does not include its last row and column.

    Args:
        image: RGB image, uint8 `(H, W, 3)`.
        scale: Scale of Felzenszwalb's segmentation; a larger scale gives larger segments.
        sigma: Standard deviation of the Gaussian before the segmentation, in pixels.
        min_size: Smallest segment in pixels.

    Returns:
        x1, y1, x2, y2 in pixels, with exclusive right and bottom edges, int64 `(R, 4)`. Several regions can have the
        same box.
    """
    labels = felzenszwalb(image / 255.0, scale=scale, sigma=sigma, min_size=min_size)
    labels = _by_first_pixel(labels)
    count, area = int(labels.max()) + 1, labels.size
    low, high = np.zeros((2, 2 * count, 2), np.int64)
    low[:count], high[:count] = _extents(labels, count)
    sizes = np.zeros(2 * count)
    sizes[:count] = np.bincount(labels.ravel(), minlength=count)
    histograms = np.zeros((2 * count, _VALUE_BINS + 3 * _TEXTURE_BINS))
    histograms[:count] = _histograms(image, labels, count) / sizes[:count, None]

    def similarities(one: np.ndarray | int, others: np.ndarray) -> np.ndarray:
        both = sizes[one] + sizes[others]
        sides = np.maximum(high[one], high[others]) - np.minimum(low[one], low[others])
        common = np.minimum(histograms[one], histograms[others]).sum(-1)
        return common + (1 - both / area) + (1 - (sides.prod(-1) - both) / area)

    first, second = _neighbors(low[:count], high[:count])
    near: list[set[int]] = [set() for _ in range(2 * count)]
    for a, b in zip(first.tolist(), second.tolist()):
        near[a].add(b)
        near[b].add(a)
    # Among equally similar pairs, the one that was found last is merged first.
    heap = [
        (-value, -order, a, b)
        for order, (value, a, b) in enumerate(
            zip(similarities(first, second).tolist(), first.tolist(), second.tolist())
        )
    ]
    heapq.heapify(heap)
    order, new = len(heap), count
    while heap:
        _, _, a, b = heapq.heappop(heap)
        if near[a] is None or near[b] is None:
            continue
        low[new], high[new] = np.minimum(low[a], low[b]), np.maximum(high[a], high[b])
        sizes[new] = sizes[a] + sizes[b]
        histograms[new] = (histograms[a] * sizes[a] + histograms[b] * sizes[b]) / sizes[new]
        near[new] = (near[a] | near[b]) - {a, b}
        near[a] = near[b] = None
        others = sorted(near[new])
        for other, value in zip(others, similarities(new, np.array(others, int)).tolist()):
            near[other] -= {a, b}
            near[other].add(new)
            heapq.heappush(heap, (-value, -order, new, other))
            order += 1
        new += 1
    return np.concatenate([low[:new], high[:new] + 1], axis=1)


def filter_proposals(
    boxes: np.ndarray,
    size: tuple[int, int],
    min_side: int = 32,
    aspect: float = 3,
    share: tuple[float, float] = (0.3, 0.8),
) -> np.ndarray:
    """Returns the boxes that pass SoCo's filter `ratio3size0308post`.

    A box passes if both sides are at least `min_side`, 1 / `aspect` <= w / h <= `aspect`, and sqrt(w h) / sqrt(W H) is
    in `share`. If no box passes, the last condition is dropped, and then the condition on the aspect. As in SoCo, sides
    are one pixel shorter than the box.

    Args:
        boxes: x1, y1, x2, y2 in pixels, with exclusive right and bottom edges, `(R, 4)`.
        size: Height and width of the image in pixels.
        min_side: Smallest side in pixels.
        aspect: Largest ratio of the sides.
        share: Smallest and largest side as a fraction of the side of the image (geometric means), in [0, 1].

    Returns:
        Boxes `(N, 4)` in the given order; empty if no box has sides of `min_side`.
    """
    w, h = (boxes[:, 2:] - boxes[:, :2] - 1).T
    large = (w >= min_side) & (h >= min_side)
    even = large & (w <= aspect * h) & (h <= aspect * w)
    fractions = np.sqrt(np.maximum(w * h, 0)) / np.sqrt(size[0] * size[1])
    for passed in (even & (fractions >= share[0]) & (fractions <= share[1]), even):
        if passed.any():
            return boxes[passed]
    return boxes[large]


def _by_first_pixel(labels: np.ndarray) -> np.ndarray:
    """Renumbers the labels in the order of their first pixel, row by row."""
    _, places, inverse = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.empty(len(places), np.int64)
    ranks[np.argsort(places)] = np.arange(len(places))
    return ranks[inverse].reshape(labels.shape)


def _extents(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and last column and row of each segment, `(count, 2)` each."""
    low, high = np.full((count, 2), max(labels.shape)), np.zeros((count, 2), np.int64)
    rows, columns = np.indices(labels.shape)
    for axis, values in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], labels.ravel(), values.ravel())
        np.maximum.at(high[:, axis], labels.ravel(), values.ravel())
    return low, high


def _histograms(image: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Returns the value and texture histograms of each segment, `(count, 25 + 3 * 10)`."""
    channels = [(image.max(-1), _VALUE_BINS)]
    for channel in range(3):
        codes = local_binary_pattern(np.ascontiguousarray(image[..., channel]), 8, 1.0)
        channels.append((codes, _TEXTURE_BINS))
    found = []
    for values, bins in channels:
        index = np.minimum(values.astype(np.int64) * bins // 255, bins - 1)
        counts = np.bincount((labels * bins + index).ravel(), minlength=count * bins)
        found.append(counts.reshape(count, bins))
    return np.concatenate(found, axis=1)


def _neighbors(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs a < b for which a corner of the box of b lies strictly inside the box of a."""
    inside = True
    for axis in range(2):
        start, end = low[:, axis, None], high[:, axis, None]
        inside = inside & (
            ((start < low[:, axis]) & (low[:, axis] < end)) | ((start < high[:, axis]) & (high[:, axis] < end))
        )
    return np.nonzero(np.triu(inside, 1))
