"""Random choices that several measures share: images, objects, backgrounds and pairs."""

from collections.abc import Callable
from itertools import islice

import numpy as np

from mmdecouple.evaluation.measures.base import Measure, no_candidate
from mmdecouple.evaluation.object_sources import ObjectSource, Sources
from mmdecouple.utils.errors import UserError


def large_enough(boxes: np.ndarray, cell: float) -> np.ndarray:
    """Returns bool `(N,)`: boxes `(N, 4)` whose sides are both at least one cell."""
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) >= cell


def draw_images(
    images: list[int], limit: int | None, rng: np.random.Generator, fits: Callable[[int], bool]
) -> list[int]:
    """Draws up to `limit` images for which `fits` is true, without replacement, in the order of the data set.

    Args:
        images: Image ids.
        limit: Maximum number of images; None, or at least the number of images, returns all of them.
        rng: Generator of the draws.
        fits: Filter of image ids.
    """
    if limit is None or limit >= len(images):
        return images
    drawn = islice((i for i in rng.permutation(len(images)) if fits(images[i])), limit)
    return [images[i] for i in sorted(drawn)]


def other_image(source: ObjectSource, image: int, rng: np.random.Generator) -> int:
    """Draws an image of the same data set other than `image`.

    Raises:
        UserError: The data set holds a single image.
    """
    images = source.images
    if len(images) < 2:
        raise UserError(
            f'Data set {source.name} holds a single image; add more images, as swapping backgrounds requires two.'
        )
    other = image
    while other == image:
        other = images[int(rng.integers(len(images)))]
    return other


def one_object_an_image(
    measure: Measure, sources: Sources, role: str, limit: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draws one object in each of up to `limit` random images.

    Args:
        measure: Measure for which objects are drawn.
        sources: Data sets to draw from.
        role: Data set among them: `query`, `bank` or `singles`.
        limit: Maximum number of images.
        rng: Generator of the draws.

    Returns:
        Pairs (image id, object id), in the order of the data set.

    Raises:
        UserError: No object has two sides of at least one cell.
    """
    source = sources[role]
    found = []
    for i in rng.permutation(len(source.images)):
        image = source.images[i]
        large = np.flatnonzero(large_enough(source.boxes(image), sources.cell))
        if len(large):
            found.append((int(i), image, int(source.info(image)['ids'][rng.choice(large)])))
        if len(found) == limit:
            break
    if not found:
        raise no_candidate(
            measure, f'both sides of a box at least one cell ({sources.cell} px at size {sources.size})', source.name
        )
    return [(image, obj) for _, image, obj in sorted(found)]


def draw_pairs(labels: np.ndarray, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draws up to `count` ordered pairs of positions whose `labels` `(n,)` differ, in random order."""
    n = len(labels)
    possible = n * n - sum(int(c) ** 2 for c in np.unique(labels, return_counts=True)[1]) if n else 0
    if possible <= 2 * count:
        every = np.argwhere(labels[:, None] != labels) if possible else np.empty((0, 2), int)
        return [(int(a), int(b)) for a, b in every[rng.permutation(len(every))[:count]]]
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < count:
        a, b = (int(i) for i in rng.integers(n, size=2))
        if labels[a] != labels[b]:
            chosen[a, b] = None
    return list(chosen)
