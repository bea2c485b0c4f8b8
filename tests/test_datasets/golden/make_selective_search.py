"""Boxes of SoCo's own selective search, for `selective_search.json`.

git clone https://github.com/hologerry/SoCo && python -m tests.test_datasets.golden.make_selective_search SoCo
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np

SEARCH = dict(scale=300, sigma=0.9, min_size=100)


def picture() -> np.ndarray:
    """uint8 `(150, 200, 3)`: 40 overlapping rectangles of random colors under noise of random strength."""
    rng = np.random.RandomState(0)
    image = np.full((150, 200, 3), 120.0)
    for _ in range(40):
        x, y = rng.randint(-20, 190), rng.randint(-20, 140)
        w, h = rng.randint(15, 90, 2)
        part = image[max(y, 0) : y + h, max(x, 0) : x + w]
        part[:] = rng.randint(0, 256, 3) + rng.randint(0, 30) * rng.standard_normal(part.shape)
    return image.clip(0, 255).astype(np.uint8)


if __name__ == '__main__':
    official = runpy.run_path(str(Path(sys.argv[1]) / 'selective_search' / 'selective_search.py'))
    _, regions, _ = official['selective_search'](picture(), **SEARCH)
    rects = [[int(value) for value in region['rect']] for region in regions]
    target = Path(__file__).with_name('selective_search.json')
    target.write_text(json.dumps(dict(rects=rects)) + '\n')
    print(f'{len(rects)} regions')
