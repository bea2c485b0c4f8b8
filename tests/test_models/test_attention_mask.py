"""The foreground of a teacher's attention against the same steps in plain numpy and scipy, in float64."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmdecouple.models.attention_mask import attention_mask


def plain_mask(attention: np.ndarray, mass: float, sigma: float) -> np.ndarray:
    """Blur, threshold and labelling of one map, cell by cell."""
    weights = np.exp(-0.5 * (np.arange(-3, 4) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.pad(attention, 3, mode='reflect')
    blurred = sum(
        weights[i] * weights[j] * padded[i : i + attention.shape[0], j : j + attention.shape[1]]
        for i in range(7)
        for j in range(7)
    )
    kept, held = np.zeros(attention.shape, bool), 0.0
    for cell in np.argsort(-blurred, axis=None):
        if held / blurred.sum() >= mass:
            break
        kept.flat[cell] = True
        held += blurred.flat[cell]
    pieces, number = ndimage.label(kept, np.ones((3, 3)))
    sizes = ndimage.sum_labels(kept, pieces, range(number + 1))
    return kept & (sizes[pieces] > 2)


@pytest.mark.parametrize('mass, sigma', [(0.6, 0.6), (0.2, 0.3), (0.9, 1.5)])
@pytest.mark.parametrize('size', [(14, 14), (7, 12)])
def test_masks_equal_those_of_plain_loops(size, mass, sigma):
    rng = np.random.default_rng(0)
    # Steep maps leave specks of all sizes, flat ones large pieces.
    attention = rng.random((60, *size)) ** rng.integers(1, 12, (60, 1, 1))
    expected = np.stack([plain_mask(one, mass, sigma) for one in attention])
    assert 0 < expected.mean() < 1
    found = attention_mask(torch.from_numpy(attention), mass, sigma)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize(
    'piece, kept',
    [
        ([(2, 2)], 0),
        ([(2, 2), (3, 3)], 0),
        ([(2, 2), (2, 3)], 0),
        ([(2, 2), (3, 3), (4, 2)], 3),
        ([(0, 0), (0, 1), (1, 0)], 3),
    ],
)
def test_pieces_of_one_or_two_cells_are_removed(piece, kept):
    attention = torch.full((1, 6, 6), 1e-6)
    for cell in piece:
        attention[0][cell] = 1.0
    assert attention_mask(attention, 0.9, 0.01).sum() == kept
