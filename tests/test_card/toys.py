"""A labelled data set in CamVid's layout, small enough to make in a moment."""

from pathlib import Path

import numpy as np
from PIL import Image

VOID = 11
THINGS = (2, 6, 8)  # pole, sign and car
COLORS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [200, 200, 60]], np.uint8)


def write_camvid(root: Path, count: int = 4, size: tuple[int, int] = (96, 64), void: bool = False) -> Path:
    """Writes images of `count` three colored things on a ground of class 0; a few pixels are void, or all."""
    rng = np.random.default_rng(0)
    for split in ('train', 'test'):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            labels = np.zeros(size[::-1], np.uint8)
            for label in rng.permutation(THINGS):
                x, y = rng.integers(0, size[0] - 30), rng.integers(0, size[1] - 30)
                labels[y : y + 28, x : x + 28] = label
            image = COLORS[np.searchsorted((0, *THINGS), labels)] + rng.integers(
                0, 40, (*labels.shape, 3), dtype=np.uint8
            )
            labels[: size[1] if void else 3] = VOID
            Image.fromarray(image).save(root / 'images' / split / f'{index}.png')
            Image.fromarray(labels).save(root / 'annotations' / split / f'{index}.png')
    return root
