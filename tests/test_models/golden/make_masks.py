"""Statistics of the masks that the official data sets draw.

    python -m tests.test_models.golden.make_masks IBOT DENSESSL

The checkouts are those of `make_ibot`. Writes masks.json.
"""

import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from . import recipe

DRAWS, SIDE, PATCH = 3000, 14, 16
SHAPES = {'blockwise': ('block', 0, [0, 0.3]), 'rcc': ('rcc', 1, [0, 0.4])}


def draw(folder: str, shape: str, ratios: list[float]) -> np.ndarray:
    """DRAWS masks from the official data set over a folder with one picture, which stands for two views."""
    loader = recipe.official(folder, 'loader')
    random.seed(0)
    np.random.seed(0)
    view = torch.zeros(3, SIDE * PATCH, SIDE * PATCH)
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / 'class').mkdir()
        Image.new('RGB', (8, 8)).save(Path(root) / 'class' / 'picture.png')
        dataset = loader.ImageFolderMask(
            root,
            transform=lambda picture: [view, view],
            patch_size=PATCH,
            pred_ratio=ratios,
            pred_ratio_var=[0, 0.2],
            pred_aspect_ratio=(0.3, 1 / 0.3),
            pred_shape=shape,
        )
        return np.stack([mask for _ in range(DRAWS // 2) for mask in dataset[0][-1]])


def largest_piece(mask: np.ndarray) -> float:
    """Share of the view of the largest piece whose cells share edges."""
    labels, _ = ndimage.label(mask)
    return np.bincount(labels[mask]).max() / mask.size


def main() -> None:
    """Draw and measure."""
    content = {'draws': DRAWS, 'side': SIDE}
    for name, (shape, checkout, ratios) in SHAPES.items():
        masks = draw(sys.argv[1 + checkout], shape, ratios)
        used = masks[masks.any((1, 2))]
        share = used.mean((1, 2))
        content[name] = {
            'ratio range of the half that is not empty': [ratios[1] - 0.2, ratios[1] + 0.2],
            'share of empty masks': 1 - len(used) / len(masks),
            'mean share of all masks': masks.mean(),
            'mean share, empty ones left out': share.mean(),
            'deviation of the share, empty ones left out': share.std(),
            'mean largest piece, empty ones left out': np.mean([largest_piece(mask) for mask in used]),
        }
    recipe.write('masks', content)


if __name__ == '__main__':
    main()
