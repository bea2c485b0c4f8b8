"""Local semantic consistency against loops in float64 and on networks known by construction."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmdecouple.evaluation import lsc_maps, measure_model
from mmdecouple.models.backbones import DenseViT

from .toys import CELL, SIZE, ConvModel, PixelModel, toy_probes


class SmallViT(nn.Module):
    """Attention over the whole image and resized positions: what LSC is made to see."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
        self.net = DenseViT(arch, img_size=SIZE, patch_size=CELL)
        self.net.eval()
        for parameter in self.net.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)

    @torch.no_grad()
    def dense_features(self, images):
        return self.net.dense_map(images)


def reflected(index, length):
    """Where a pixel outside lands when the border pixel itself is not repeated."""
    index = -index if index < 0 else index
    return 2 * (length - 1) - index if index >= length else index


def slow_map(model, image, cell, window):
    """One image (3, H, W), one cell at a time."""
    height, width = image.shape[1] // cell, image.shape[2] // cell
    whole = model.dense_features(image[None])[0].double().numpy()
    reach, out = window // 2, np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            rows = [reflected(y, image.shape[1]) for y in range((i - reach) * cell, (i + reach + 1) * cell)]
            columns = [reflected(x, image.shape[2]) for x in range((j - reach) * cell, (j + reach + 1) * cell)]
            alone = model.dense_features(image[:, rows][:, :, columns][None])[0].double().numpy().mean((1, 2))
            near = [
                whole[:, y, x]
                for y in range(height)
                for x in range(width)
                if abs(y - i) <= reach and abs(x - j) <= reach
            ]
            context = np.mean(near, axis=0)
            out[i, j] = alone @ context / np.linalg.norm(alone) / np.linalg.norm(context)
    return out


def test_maps_equal_a_loop_over_cells_and_the_batch_size_changes_nothing():
    model, images = SmallViT(), torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    found = lsc_maps(model, images, CELL)
    assert found.shape == (2, 5, 6) and found.std() > 1e-3
    np.testing.assert_allclose(found, [slow_map(model, image, CELL, 5) for image in images], atol=1e-5)
    seen = []
    other = lsc_maps(model, images, CELL, batch_size=17, progress=lambda *done: seen.append(done))
    torch.testing.assert_close(found, other, atol=1e-6, rtol=0)
    assert seen[0] == (17, 60) and seen[-1] == (60, 60)


@pytest.mark.parametrize('cells', [196, 7])
def test_the_measure_is_the_mean_of_the_maps_of_the_same_images(cells):
    dataset, model = toy_probes(measures=[dict(type='LSC', images=4, window=3, cells=cells)]), ConvModel().eval()
    report = measure_model(model, dataset, batch_size=13)
    draws = dataset.manifest['measures'][0]['draws']
    pixels = np.stack([dataset.sources.query.pixels(draw['image']) for draw in draws])
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 118) / 57
    maps = lsc_maps(model, images, CELL, window=3)
    assert len(draws) == 4 and maps.std() > 1e-3
    if cells == 7:
        assert len({tuple(draw['places']) for draw in draws}) == 4
        maps = torch.stack([row.flatten()[draw['places']] for row, draw in zip(maps, draws)])[:, None]
        assert maps.shape == (4, 1, 7)
    np.testing.assert_allclose(report['values']['lsc_mean'], maps.mean((1, 2)), atol=1e-5)
    assert report['metrics']['lsc_mean']['value'] == pytest.approx(maps.mean().item(), abs=1e-5)
    assert -1 <= report['metrics']['lsc_centered_mean']['value'] < report['metrics']['lsc_mean']['value']
    assert sum(report['histograms']['lsc']['counts']) == maps.numel()


class PatchModel(PixelModel):
    """Cannot couple: a cell's feature is a function of its own pixels."""

    def dense_features(self, images):
        return nn.functional.avg_pool2d(super().dense_features(images), CELL)


def test_cells_that_know_nothing_of_each_other_are_consistent_away_from_the_border():
    images = torch.randn(1, 3, SIZE, SIZE)
    assert lsc_maps(PatchModel(), images, CELL)[0, 2:-2, 2:-2].min() > 1 - 1e-6
    report = measure_model(PatchModel(), toy_probes(measures=[dict(type='LSC', images=2, window=1)]))
    assert report['metrics']['lsc_mean']['value'] == pytest.approx(1)
    assert report['metrics']['lsc_centered_mean']['value'] == pytest.approx(1)


class MirrorModel(PixelModel):
    """A crop has the opposite feature of an image; rounding takes its cosines past both ends of [-1, 1]."""

    def dense_features(self, images):
        sign = -1 if images.shape[-1] < SIZE else 1
        return sign * torch.linspace(0.1, 0.7, 36)[None, :, None, None].expand(
            len(images), 36, *(side // CELL for side in images.shape[-2:])
        )


@pytest.mark.parametrize('window, expected', [(3, -1), (7, 1)], ids=['smaller than the image', 'as large'])
def test_maps_end_where_cosines_do(window, expected):
    found = lsc_maps(MirrorModel(), torch.zeros(1, 3, SIZE, SIZE), CELL, window)
    assert found.shape == (1, 7, 7) and (found - expected).abs().max() < 1e-6 and found.abs().max() <= 1


def test_enlarged_crops_and_half_precision_stay_close():
    model, images = SmallViT(), torch.randn(1, 3, SIZE, SIZE)
    found = lsc_maps(model, images, CELL)
    assert (lsc_maps(model, images, CELL, precision='bf16') - found).abs().max() < 1e-2
    enlarged = lsc_maps(model, images, CELL, upsample=SIZE)
    assert enlarged.shape == found.shape and not torch.equal(enlarged, found)


def test_images_that_do_not_fit_are_one_clear_line_or_left_out():
    model = SmallViT()
    for size, options, message in (
        ((3, 32, 56), {}, '32 x 56 pixels is smaller than a window of 5 x 5 cells'),
        ((3, 60, 56), {}, '60 x 56 pixels does not divide into cells of 8 pixels'),
        ((3, 56, 60), {}, '56 x 60 pixels does not divide into cells of 8 pixels'),
        ((3, 80, 80), dict(cell=16), 'a map of 10 x 10 for an image of 5 x 5 cells'),
        ((3, 56, 56), dict(window=4), 'window must be an odd number'),
        ((3, 56, 56), dict(precision='int8'), 'precision must be one of fp32, bf16'),
    ):
        with pytest.raises(ValueError, match=message):
            lsc_maps(model, torch.zeros(1, *size), **{'cell': CELL, **options})
    measures = [dict(type='ContextShift'), dict(type='LSC', window=9)]
    left_out = 'LSC: left out, images of 7 x 7 cells are smaller than a window of 9 x 9.'
    assert toy_probes(measures=measures).metainfo['notes'][-1] == left_out
    with pytest.raises(ValueError, match=f'nothing to measure: {left_out}'):
        toy_probes(measures=measures[1:])


@pytest.mark.parametrize('side', [16, 64])
def test_windows_are_resized_to_another_side_without_aliasing(side):
    """As Pillow resizes them, which filters where the window shrinks."""
    image = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(2)) * 255
    shown = []

    class Recorder(nn.Module):
        def dense_features(self, images):
            shown.append(images.clone())
            return nn.functional.avg_pool2d(images, CELL)

    lsc_maps(Recorder(), image, CELL, window=3, upsample=side)
    crop = image[0, :, 8:32, 16:40]
    expected = [
        np.asarray(Image.fromarray(channel.numpy(), 'F').resize((side, side), Image.BILINEAR)) for channel in crop
    ]
    # Row 2, column 3 of 5 x 6 cells.
    np.testing.assert_allclose(torch.cat(shown[1:])[2 * 6 + 3], np.stack(expected), atol=0.01)
