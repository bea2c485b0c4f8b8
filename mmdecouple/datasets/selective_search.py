"""Selective search with SoCo's parameters, region for region what SoCo's own script finds.

The segmentation and the texture codes come from scikit-image, as in SoCo; the merging is vectorized here. Why not a
library for all of it:

- OpenCV's `ximgproc` is faster and its boxes are a little better, but they are not SoCo's (other texture, true
  neighbors), and it lives in `opencv-contrib-python`, which overwrites the `cv2` of the `opencv-python` that mmcv
  needs.
- On PyPI, `selectivesearch` (2017) and `selective-search` (2022) are MIT, but no longer kept up, and loop over pixels
  or regions in Python.

Measured on 100 images of COCO, with SoCo's parameters and filter (recall at IoU 0.5 of the objects whose box passes the
filter's limits):

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
    """Boxes of all regions of a greedy merging, the initial segments included.

    The two most similar neighbors merge until no neighbors are left. Similarity is the sum of the histogram
    intersections of value (25 bins) and texture (local binary patterns, 10 bins a channel), of
    `1 - (s_a + s_b) / S` (size) and of `1 - (|box of both| - s_a - s_b) / S` (fill), S the image's pixels.

    Three habits of SoCo's script are kept, because they decide which boxes there are: neighbors are regions of which
    one has a corner of its box strictly inside the other's box; of the HSV histogram only the value counts, since all
    hues and saturations (0 to 1) fall into the first bin of 0 to 255; and a box's area leaves out its last row and
    column.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        scale: Felzenszwalb's scale; higher means larger segments.
        sigma: Standard deviation of the Gaussian before the segmentation, in pixels.
        min_size: Smallest segment in pixels.

    Returns:
        int64 `(R, 4)` x1, y1, x2, y2 in pixels, right and bottom edge exclusive. Several regions can share a box.
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
    # Of equally similar pairs the one that was found last merges first.
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
    """Those boxes that SoCo keeps, by its filter `ratio3size0308post`.

    A box needs both sides >= `min_side`, 1 / `aspect` <= w / h <= `aspect` and sqrt(w h) / sqrt(W H) in `share`. If
    none passes, the last condition is dropped, then the aspect. Sides are SoCo's: one pixel short of the box.

    Args:
        boxes: `(R, 4)` x1, y1, x2, y2 in pixels, exclusive right and bottom edge.
        size: Height and width of the image.
        min_side: Smallest side in pixels.
        aspect: Largest ratio of the sides.
        share: Smallest and largest share of the image's side (geometric mean).

    Returns:
        `(N, 4)` in the given order; empty if no box has sides of `min_side`.
    """
    w, h = (boxes[:, 2:] - boxes[:, :2] - 1).T
    large = (w >= min_side) & (h >= min_side)
    even = large & (w <= aspect * h) & (h <= aspect * w)
    shares = np.sqrt(np.maximum(w * h, 0)) / np.sqrt(size[0] * size[1])
    for kept in (even & (shares >= share[0]) & (shares <= share[1]), even):
        if kept.any():
            return boxes[kept]
    return boxes[large]


def _by_first_pixel(labels: np.ndarray) -> np.ndarray:
    """The labels renumbered in the order in which the rows of the image meet them."""
    _, places, inverse = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.empty(len(places), np.int64)
    ranks[np.argsort(places)] = np.arange(len(places))
    return ranks[inverse].reshape(labels.shape)


def _extents(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last column and row of each segment, `(count, 2)` each."""
    low, high = np.full((count, 2), max(labels.shape)), np.zeros((count, 2), np.int64)
    rows, columns = np.indices(labels.shape)
    for axis, values in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], labels.ravel(), values.ravel())
        np.maximum.at(high[:, axis], labels.ravel(), values.ravel())
    return low, high


def _histograms(image: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Value and texture counts of each segment, `(count, 25 + 3 * 10)`."""
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
    """Pairs a < b of which a corner of b's box lies strictly inside a's box."""
    inside = True
    for axis in range(2):
        start, end = low[:, axis, None], high[:, axis, None]
        inside = inside & (
            ((start < low[:, axis]) & (low[:, axis] < end)) | ((start < high[:, axis]) & (high[:, axis] < end))
        )
    return np.nonzero(np.triu(inside, 1))
