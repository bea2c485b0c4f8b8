import numpy as np
import torch

from mmdecouple.visualization.batches import decoupled_batch_figure, tint_cut, to_uint8


def test_normalization_is_undone_exactly() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), dtype=np.uint8)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    normalized = (
        torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - torch.tensor(mean)[:, None, None]
    ) / torch.tensor(std)[:, None, None]
    assert (to_uint8(normalized, mean, std) == pixels).all()


def test_only_the_cut_part_is_tinted() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)
    masks = rng.random((2, 3, 4)) < 0.5
    cut = masks.repeat(4, 1).repeat(4, 2)
    tinted = tint_cut(images, masks)
    assert (tinted[~cut] == images[~cut]).all()
    assert (tinted[cut] != images[cut]).any(-1).mean() > 0.9


def test_the_batch_is_drawn_as_given_four_rows_a_sample() -> None:
    rng = np.random.default_rng(0)
    keys, backgrounds, mixed = rng.integers(0, 256, (3, 5, 8, 8, 3), dtype=np.uint8)
    figure = decoupled_batch_figure(keys, np.ones((5, 2, 2), bool), backgrounds, mixed, limit=3)
    drawn = [axes.images[0].get_array() for axes in figure.axes]
    assert len(drawn) == 12
    for row, images in ((0, keys), (2, backgrounds), (3, mixed)):
        assert all((drawn[3 * row + column] == images[column]).all() for column in range(3))
    assert figure.axes[3].get_xlabel() == '100 % cut'
