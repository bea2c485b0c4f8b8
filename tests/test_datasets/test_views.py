import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image, ImageFilter, ImageOps
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as reference

from mmdecouple.datasets.transforms import MultiView, PackViews, map_boxes, photometric, source_to_view, view_to_source
from mmdecouple.registry import TRANSFORMS

CROP_AND_FLIP = [dict(type='RandomResizedCropView', size=(40, 56)), dict(type='RandomFlipView')]


def coordinate_image(height, width):
    """Red is the column and green the row of each pixel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def packed(image, pipelines, counts):
    results = MultiView(pipelines, counts)(dict(img=image, sample_idx=3, img_path='a.jpg', ori_shape=image.shape[:2]))
    return PackViews()(results)


@pytest.mark.parametrize('size', [(200, 250), (90, 30), (24, 24)])
def test_a_view_shows_the_source_pixels_that_its_geometry_names(size):
    torch.manual_seed(0)
    np.random.seed(0)
    for _ in range(40):
        sample = packed(coordinate_image(*size), [CROP_AND_FLIP], [2])
        rows, columns = torch.meshgrid(torch.arange(40), torch.arange(56), indexing='ij')
        centers = torch.stack([columns, rows], dim=-1).reshape(1, -1, 2) + 0.5
        geometry = sample['data_samples'].geometry
        x, y = view_to_source(centers, geometry, (40, 56)).unbind(-1)
        # A border pixel repeats the window's outermost source pixel where a view is enlarged.
        x = x.clamp(geometry[:, None, 0] + 0.5, geometry[:, None, :4:2].sum(-1) - 0.5)
        y = y.clamp(geometry[:, None, 1] + 0.5, geometry[:, None, 1:4:2].sum(-1) - 0.5)
        for view, expected_x, expected_y in zip(sample['inputs'], x - 0.5, y - 0.5):
            shown = view.reshape(3, -1).float()
            assert (shown[0] - expected_x).abs().max() <= 1.01
            assert (shown[1] - expected_y).abs().max() <= 1.01


def test_crop_windows_of_a_mirrored_source_are_in_pixels_of_the_source_as_loaded():
    torch.manual_seed(0)
    image = coordinate_image(90, 120)
    results = TRANSFORMS.build(dict(type='RandomFlipView', prob=1.0))(dict(img=image, ori_shape=image.shape[:2]))
    crop = dict(type='RandomResizedCropView', size=(40, 56))
    views = MultiView([[crop], [crop, dict(type='RandomFlipView', prob=1.0)]], [20, 20])(results)['views']
    flips = []
    for view in views:
        x, y, w, h = view['crop_window']
        expected = reference.resize(Image.fromarray(image[y : y + h, x : x + w]), [40, 56])
        shown = np.asarray(ImageOps.mirror(expected) if view['flip'] else expected)
        assert np.abs(shown.astype(int) - view['img']).max() <= 1
        flips.append(view['flip'])
    assert flips == [True] * 20 + [False] * 20


def test_views_of_one_image_differ_and_flips_happen():
    torch.manual_seed(0)
    np.random.seed(0)
    flips = torch.cat(
        [packed(coordinate_image(60, 80), [CROP_AND_FLIP], [2])['data_samples'].geometry for _ in range(100)]
    )
    assert 60 < flips[:, 4].sum() < 140
    assert (flips[0::2, :4] != flips[1::2, :4]).any(1).all()
    assert (flips[:, 5:] == torch.tensor([60.0, 80.0])).all()


@pytest.mark.parametrize('scale, ratio', [((0.2, 1.0), (3 / 4, 4 / 3)), ((0.05, 0.14), (0.5, 3.0))])
@pytest.mark.parametrize('size', [(60, 90), (90, 30)])
def test_windows_are_those_of_torchvision_draw_for_draw(size, scale, ratio):
    step = TRANSFORMS.build(dict(type='RandomResizedCropView', size=16, scale=scale, ratio=ratio))
    for seed in range(50):
        torch.manual_seed(seed)
        results = step(dict(img=coordinate_image(*size)))
        torch.manual_seed(seed)
        y, x, h, w = RandomResizedCrop.get_params(torch.zeros(3, *size), list(scale), list(ratio))
        assert results['crop_window'] == (x, y, w, h) and results['flip'] is False


def test_a_mirrored_view_says_so_and_mirrored_twice_it_is_itself():
    flip = TRANSFORMS.build(dict(type='RandomFlipView', prob=1.0))
    image = coordinate_image(5, 7)
    once = flip(dict(img=image, flip=False))
    assert once['flip'] is True and np.array_equal(once['img'], image[:, ::-1])
    twice = flip(once)
    assert twice['flip'] is False and np.array_equal(twice['img'], image)


def test_source_to_view_is_the_inverse_of_view_to_source():
    generator = torch.Generator().manual_seed(0)
    geometry = torch.rand(50, 7, generator=generator, dtype=torch.float64) * 90 + 1
    geometry[:, 4] = torch.arange(50) % 2
    points = torch.rand(50, 20, 2, generator=generator, dtype=torch.float64) * 60
    back = source_to_view(view_to_source(points, geometry, (40, 56)), geometry, (40, 56))
    torch.testing.assert_close(back, points)


def test_a_box_around_the_whole_view_is_the_crop_window():
    geometry = torch.tensor([[5.0, 7.0, 20.0, 30.0, 1.0, 100.0, 100.0]])
    box = map_boxes(torch.tensor([[[0.0, 0.0, 56.0, 40.0]]]), geometry, (40, 56), to='source')
    assert box.tolist() == [[[5.0, 7.0, 25.0, 37.0]]]
    assert map_boxes(box, geometry, (40, 56), to='view').tolist() == [[[0.0, 0.0, 56.0, 40.0]]]


def test_a_packed_sample_is_what_the_collate_and_the_preprocessor_expect():
    sample = packed(coordinate_image(60, 80), [CROP_AND_FLIP], [2])
    assert [tuple(view.shape) for view in sample['inputs']] == [(3, 40, 56)] * 2
    assert all(view.dtype == torch.uint8 for view in sample['inputs'])
    assert sample['data_samples'].geometry.shape == (2, 7)
    assert sample['data_samples'].sample_idx == 3


def test_views_of_different_sizes_collate_by_view_and_keep_their_geometry():
    torch.manual_seed(0)
    np.random.seed(0)
    sides = [32, 32, 16, 16, 16]
    crop = dict(type='RandomResizedCropView', scale=(0.3, 1), interpolation='bicubic')
    pipelines = [[dict(crop, size=side), dict(type='RandomFlipView')] for side in (32, 16)]
    batch = default_collate([packed(coordinate_image(*size), pipelines, [2, 3]) for size in ((90, 70), (64, 120))])
    assert [tuple(view.shape) for view in batch['inputs']] == [(2, 3, side, side) for side in sides]
    geometry = torch.stack([sample.geometry for sample in batch['data_samples']])
    assert geometry.shape == (2, 5, 7)
    for index, (view, side) in enumerate(zip(batch['inputs'], sides)):
        center = torch.full((1, 2), side / 2)
        expected = view_to_source(center, geometry[:, index], (side, side))[:, 0] - 0.5
        middle = view[:, :2, side // 2 - 1 : side // 2 + 1, side // 2 - 1 : side // 2 + 1]
        # The crop window's middle is where the four middle pixels meet, whatever the view's size.
        assert (middle.float().mean((2, 3)) - expected).abs().max() <= 0.6


def natural_image():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return small.resize((96, 72), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    'name, amount, tolerance',
    [
        ('brightness', 0.6, 1),
        ('brightness', 1.4, 1),
        ('contrast', 0.6, 1),
        ('contrast', 1.4, 1),
        ('saturation', 0.6, 2),
        ('saturation', 1.4, 2),
    ],
)
def test_color_changes_equal_torchvision_on_pillow_images(name, amount, tolerance):
    image = natural_image()
    ours = getattr(photometric, f'adjust_{name}')(np.asarray(image), amount).astype(int)
    theirs = np.asarray(getattr(reference, f'adjust_{name}')(image, amount)).astype(int)
    difference = abs(ours - theirs)
    assert difference.max() <= tolerance


@pytest.mark.parametrize('shift', [0.1, 0.03, -0.07])
def test_the_hue_turn_is_closer_to_the_exact_one_than_pillow_is(shift):
    image = np.array(natural_image())
    exact = reference.adjust_hue(torch.from_numpy(image).permute(2, 0, 1).double() / 255, shift)
    exact = 255 * exact.permute(1, 2, 0).numpy()
    ours = abs(photometric.adjust_hue(image, shift) - exact)
    pillow = abs(np.asarray(reference.adjust_hue(Image.fromarray(image), shift)) - exact)
    assert ours.mean() < pillow.mean() and ours.max() < pillow.max()


def test_gray_and_blur_equal_pillow():
    image = natural_image()
    gray = np.asarray(reference.rgb_to_grayscale(image, 3)).astype(int)
    assert abs(photometric.to_gray(np.asarray(image)) - gray).max() <= 1
    blurred = photometric.RandomGaussianBlur((1.5, 1.5), prob=1.0)(dict(img=np.asarray(image)))
    expected = np.asarray(image.filter(ImageFilter.GaussianBlur(1.5))).astype(int)
    assert abs(blurred['img'][8:-8, 8:-8] - expected[8:-8, 8:-8]).mean() < 1.5


@pytest.mark.parametrize('threshold', [0, 1, 127.5, 128, 255, 256])
def test_solarization_equals_pillow_bit_for_bit(threshold):
    image = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    ours = photometric.RandomSolarize(threshold, prob=1.0)(dict(img=image))['img']
    np.testing.assert_array_equal(ours, np.asarray(ImageOps.solarize(Image.fromarray(image), threshold)))


@pytest.mark.parametrize(
    'config, word',
    [
        (dict(type='RandomResizedCropView', size=0), 'size'),
        (dict(type='RandomResizedCropView', size=8, scale=(0.5, 1.5)), 'scale'),
        (dict(type='RandomResizedCropView', size=8, interpolation='cubic'), 'bilinear, bicubic'),
        (dict(type='RandomFlipView', prob=2), 'prob'),
        (dict(type='RandomColorJitter', hue=0.7), 'hue'),
        (dict(type='RandomGaussianBlur', sigma=(2, 1)), 'sigma'),
        (dict(type='RandomSolarize', threshold=300), 'threshold'),
    ],
)
def test_a_setting_out_of_range_is_named(config, word):
    with pytest.raises(ValueError, match=word):
        TRANSFORMS.build(config)
