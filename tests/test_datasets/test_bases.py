"""The data set bases give the views that the methods' papers and repositories name."""

import json

import pytest
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

from mmdecouple.datasets.proposals import write_proposals
from mmdecouple.registry import DATASETS
from mmdecouple.utils.configs import load_config

# (blur, solarization) of each view: `DataAugmentationiBOT` in bytedance/ibot, main_ibot.py.
GLOBALS, LOCAL = [(1.0, None), (0.1, 0.2)], (0.5, None)
SIDES = dict(
    coco_two_views=[224] * 2,
    coco_resim=[224] * 2,
    coco_ibot=[224] * 2,
    coco_ibot_multicrop=[224] * 2 + [96] * 4,
    coco_maskalign=[224],
    coco_soco_c4=[224] * 2,
    coco_soco_fpn=[224, 224, 112],
    coco_pixpro=[224] * 2,
    coco_leopart=[224] * 2 + [96] * 4,
    coco_paka=[224] * 2 + [96] * 4,
    coco_plrc=[224] * 3,
    scenes_two_views=[48] * 2,
    scenes_resim=[48] * 2,
    scenes_ibot=[64] * 2,
    scenes_maskalign=[64],
    scenes_soco=[48] * 2,
    scenes_pixpro=[48] * 2,
    scenes_leopart=[64] * 2 + [32] * 4,
    scenes_paka=[64] * 2 + [32] * 4,
    scenes_plrc=[48] * 3,
)
BOXES = dict(coco_soco_c4=(2, 4, 4), coco_soco_fpn=(2, 2, 4, 4), scenes_soco=(2, 4, 4))


def base(name):
    return load_config(f'mmdecouple::_base_/datasets/{name}.py')


def first_batch(dataset):
    return next(iter(DataLoader(DATASETS.build(dataset), batch_size=2, collate_fn=default_collate)))


def quarters(coco128, folder):
    """A proposal file that names the upper left quarter of every training image."""
    annotations = coco128 / 'annotations' / 'instances_train2017.json'
    images = json.loads(annotations.read_text())['images']
    file = folder / 'proposals.npz'
    write_proposals(
        file,
        [image['file_name'] for image in images],
        [(i['height'], i['width']) for i in images],
        [[(0, 0, i['width'] // 2, i['height'] // 2)] for i in images],
        'coco128',
        {},
    )
    return str(file)


def check_batch(batch, name):
    sides = SIDES[name]
    assert [tuple(view.shape) for view in batch['inputs']] == [(2, 3, side, side) for side in sides]
    assert all(view.dtype == torch.uint8 and view.float().std() > 5 for view in batch['inputs'])
    assert [sample.geometry.shape for sample in batch['data_samples']] == [(len(sides), 7)] * 2
    boxes = [getattr(sample, 'boxes', None) for sample in batch['data_samples']]
    assert [found if found is None else found.shape for found in boxes] == [BOXES.get(name)] * 2


@pytest.mark.parametrize('name', [name for name in SIDES if name.startswith('coco')])
def test_a_coco_base_loads_views_of_real_images(name, coco128, tmp_path):
    dataset = dict(base(name).train_dataloader.dataset, data_root=str(coco128))
    if dataset['pipeline'][0]['type'] == 'LoadProposals':
        dataset['pipeline'][0]['file'] = quarters(coco128, tmp_path)
    check_batch(first_batch(dataset), name)


@pytest.mark.parametrize('name', [name for name in SIDES if name.startswith('scenes')])
def test_a_scene_base_trains_and_measures_on_scenes_of_its_size(name):
    config = base(name)
    check_batch(first_batch(config.train_dataloader.dataset), name)
    data = config.test_dataloader.dataset
    for role in ('objects', 'bank', 'singles'):
        data[role].num_images = 40
    data.measures = [dict(type='OKNN')]
    probe = DATASETS.build(data)[0]
    side = SIDES[name][0]
    assert tuple(probe['inputs'].shape) == (3, side, side)
    assert probe['data_samples'].boxes.max() <= side
    assert config.train_dataloader.dataset.scenes == data.objects.scenes == data.bank.scenes
    assert data.singles.scenes == dict(data.objects.scenes, objects=(1, 1))


@pytest.mark.parametrize(
    'name, scales, hue',
    [
        ('coco_ibot', [(0.14, 1)] * 2, 0.1),
        ('coco_ibot_multicrop', [(0.25, 1)] * 2 + [(0.05, 0.25)], 0.1),
        ('scenes_ibot', [(0.3, 1)] * 2, 0.04),
    ],
)
def test_ibot_views_follow_the_official_steps_in_the_official_order(name, scales, hue):
    pipeline = base(name).train_dataloader.dataset.pipeline[0]
    ends = GLOBALS + [LOCAL] * (len(scales) - 2)
    assert pipeline.num_views == [1, 1, 4][: len(scales)]
    for view, scale, (blur, solarize) in zip(pipeline.views, scales, ends, strict=True):
        crop, flip, jitter, gray, blurring, *rest = view
        assert crop.type == 'RandomResizedCropView' and crop.interpolation == 'bicubic'
        assert tuple(crop.scale) == scale
        assert flip == dict(type='RandomFlipView', prob=0.5)
        assert jitter == dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=hue, prob=0.8)
        assert gray == dict(type='RandomGrayscale', prob=0.2)
        assert blurring.type == 'RandomGaussianBlur' and blurring.prob == blur
        assert rest == ([dict(type='RandomSolarize', threshold=128, prob=solarize)] if solarize else [])


@pytest.mark.parametrize(
    'name, scale, hue', [('coco_soco_c4', 0.6, 0.1), ('coco_soco_fpn', 0.5, 0.1), ('scenes_soco', 0.6, 0.04)]
)
def test_soco_views_follow_the_official_steps_in_the_official_order(name, scale, hue):
    pipeline = base(name).train_dataloader.dataset.pipeline[1]
    assert pipeline.type == 'BoxViews' and pipeline.num_boxes == 4
    assert pipeline.views[0][0].type == 'WholeImageView'
    # `transform.py` of hologerry/SoCo: (blur, solarization) of each view.
    for place, (view, (blur, solarize)) in enumerate(zip(pipeline.views, [(1.0, None), (0.1, 0.2), (0.1, 0.2)])):
        crop, flip, jitter, gray, blurring, *rest = view
        assert place == 0 or (crop.type, *crop.scale) == ('RandomResizedCropView', scale, 1)
        assert flip == dict(type='RandomFlipView', prob=0.5)
        assert jitter == dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=hue, prob=0.8)
        assert gray == dict(type='RandomGrayscale', prob=0.2)
        assert blurring.type == 'RandomGaussianBlur' and blurring.prob == blur
        assert rest == ([dict(type='RandomSolarize', threshold=128, prob=solarize)] if solarize else [])


@pytest.mark.parametrize('name, least, hue', [('coco_pixpro', 0.08, 0.1), ('scenes_pixpro', 0.3, 0.04)])
def test_pixpro_views_follow_the_official_steps_in_the_official_order(name, least, hue):
    pipeline = base(name).train_dataloader.dataset.pipeline[0]
    assert pipeline.num_views == [1, 1]
    # `BYOL` in contrast/data/transform.py of zdaxie/PixPro: (blur, solarization) of each view.
    for view, (blur, solarize) in zip(pipeline.views, [(1.0, None), (0.1, 0.2)], strict=True):
        crop, flip, jitter, gray, blurring, *rest = view
        assert (crop.type, *crop.scale) == ('RandomResizedCropView', least, 1)
        assert flip == dict(type='RandomFlipView', prob=0.5)
        assert jitter == dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=hue, prob=0.8)
        assert gray == dict(type='RandomGrayscale', prob=0.2)
        assert blurring.type == 'RandomGaussianBlur' and blurring.prob == blur
        assert rest == ([dict(type='RandomSolarize', threshold=128, prob=solarize)] if solarize else [])


@pytest.mark.parametrize('name', ['coco_leopart', 'scenes_leopart'])
def test_leopart_views_are_not_flipped_and_share_their_colors(name):
    pipeline = base(name).train_dataloader.dataset.pipeline[0]
    kinds = [[step.type for step in view] for view in pipeline.views]
    assert kinds == [['RandomResizedCropView', 'RandomColorJitter', 'RandomGrayscale', 'RandomGaussianBlur']] * 2
    assert pipeline.views[0][1:] == pipeline.views[1][1:] and pipeline.overlap == 0.01


@pytest.mark.parametrize('name, scale, hue', [('coco_resim', 0.2, 0.1), ('scenes_resim', 0.3, 0.04)])
def test_resim_views_follow_the_official_steps_in_the_official_order(name, scale, hue):
    flip, views, _ = base(name).train_dataloader.dataset.pipeline
    # `main_moco.py` and `moco/datasets.py` of Tete-Xiao/ReSim: the image is mirrored once, before both crops.
    assert flip == dict(type='RandomFlipView', prob=0.5) and views.num_views == [2]
    ((crop, blur, jitter, gray),) = views.views
    assert (crop.type, *crop.scale) == ('RandomResizedCropView', scale, 1)
    assert blur.type == 'RandomGaussianBlur' and blur.prob == 0.5
    assert jitter == dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=hue, prob=0.8)
    assert gray == dict(type='RandomGrayscale', prob=0.2)


def test_resim_views_of_one_image_are_mirrored_together():
    dataset = DATASETS.build(dict(base('scenes_resim').train_dataloader.dataset, num_images=40))
    flips = torch.stack([dataset[index]['data_samples'].geometry[:, 4] for index in range(40)])
    assert torch.equal(flips[:, 0], flips[:, 1]) and 8 < flips[:, 0].sum() < 32
