"""With `device_photometric`, the loader draws the same numbers, and leaves the colors of the views alone."""

import random

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmdecouple.datasets.transforms import RandomGrayscale, WindowView, defer_photometric, defer_views
from mmdecouple.datasets.transforms.photometric import change_image
from mmdecouple.engine.device_views import pack_images
from mmdecouple.models import DensePreprocessor
from mmdecouple.registry import TRANSFORMS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.photometry import OPERATIONS

from .test_photometric import photograph

CROP = dict(type='RandomResizedCropView', size=24)
SMALL = dict(CROP, size=16)
FLIP = dict(type='RandomFlipView')
COLORS = [dict(type='RandomColorJitter'), dict(type='RandomGrayscale', prob=0.5)]
BLUR, SOLARIZE = dict(type='RandomGaussianBlur'), dict(type='RandomSolarize', prob=0.5)
VIEWS = [[CROP, *COLORS, BLUR, FLIP], [CROP, FLIP, *COLORS, SOLARIZE], [SMALL]]
PIPELINES = dict(
    views=[dict(type='MultiView', views=VIEWS, num_views=[1, 2, 2])],
    windows=[dict(type='OverlapViews', views=VIEWS, num_views=[2, 1, 1])],
    partners=[dict(type='PartnerViews', views=VIEWS, num_views=[1, 1, 1])],
    boxes=[dict(type='GridProposals'), dict(type='BoxViews', views=VIEWS, num_views=[1, 1, 1])],
)


class Marking(BaseTransform):
    def transform(self, results):
        return results


def pipeline(steps, deferred=False) -> Compose:
    built = Compose([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in steps])
    if deferred:
        (defer_photometric if deferred is True else deferred)(built)
    return built


def load(pipe, seed=0):
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    image = np.array(photograph(60 + seed, 90 - seed))
    sample = pipe(dict(img=image, img_path='', sample_idx=0, ori_shape=image.shape[:2]))
    return sample, (random.random(), np.random.rand(), torch.rand(()).item())


@pytest.mark.parametrize('steps', PIPELINES.values(), ids=PIPELINES)
def test_no_draw_changes_and_the_recorded_changes_make_the_same_views(steps):
    plain, deferred = (pipeline([*steps, dict(type='PackViews')], deferred) for deferred in (False, True))
    kinds = set()
    for seed in range(20):
        (before, numbers), (after, same_numbers) = load(plain, seed), load(deferred, seed)
        assert numbers == same_numbers
        one, other = before['data_samples'], after['data_samples']
        for name in ('geometry', 'boxes', 'box_ids'):
            assert hasattr(one, name) == hasattr(other, name)
            assert not hasattr(one, name) or torch.equal(one.get(name), other.get(name))
        assert other.operations.dtype == torch.float64 and other.operations.shape[0] == len(after['inputs'])
        for view, raw, operations in zip(before['inputs'], after['inputs'], other.operations.tolist()):
            image = raw.permute(1, 2, 0).numpy()
            for kind, amount in operations:
                kinds.add(OPERATIONS[int(kind)])
                image = change_image(np.ascontiguousarray(image), (OPERATIONS[int(kind)], amount))
            np.testing.assert_array_equal(image, view.permute(1, 2, 0).numpy())
    assert kinds == set(OPERATIONS)


def test_samples_without_the_option_and_views_without_colors_have_no_operations():
    plain = pipeline([*PIPELINES['views'], dict(type='PackViews')])
    flat = pipeline([dict(type='MultiView', views=[[CROP, FLIP]], num_views=[2]), dict(type='PackViews')], True)
    assert not any(hasattr(load(pipe)[0]['data_samples'], 'operations') for pipe in (plain, flat))


class Own(RandomGrayscale):
    """Changes pixels itself, in its own way."""

    def transform(self, results):
        return dict(results, img=255 - results['img'])


@pytest.mark.parametrize('added', [Marking(), Own()], ids=['a transform', 'an overridden transform'])
def test_a_transform_that_would_see_other_pixels_is_refused_in_one_line(added):
    steps = pipeline([dict(type='MultiView', views=[[CROP, *COLORS]], num_views=[1]), dict(type='PackViews')])
    steps.transforms[0].pipelines[0].transforms.append(added)
    with pytest.raises(UserError, match=f'{type(added).__name__} follows RandomGrayscale') as error:
        defer_photometric(steps)
    assert '\n' not in str(error.value) and 'config key train_dataloader.dataset.pipeline' in str(error.value)
    # Before them, it sees what it saw.
    steps.transforms[0].pipelines[0].transforms.insert(1, steps.transforms[0].pipelines[0].transforms.pop())
    defer_photometric(steps)


@pytest.mark.parametrize('after', [[], [Marking()], [Marking(), dict(type='PackViews')]])
def test_only_the_transform_that_stores_the_operations_may_follow_the_views(after):
    with pytest.raises(UserError, match='only PackViews may follow MultiView') as error:
        pipeline([*PIPELINES['views'], *after], True)
    assert '\n' not in str(error.value)


def test_a_change_of_the_source_image_stays_with_the_loader():
    gray = dict(type='RandomGrayscale', prob=1.0)
    pipe = pipeline([gray, *PIPELINES['views'], dict(type='PackViews')], True)
    sample, _ = load(pipe)
    assert all(torch.equal(view[0], view[1]) for view in sample['inputs'])


def same_fields(one, other) -> bool:
    """Whether two samples have the same geometry and boxes, and their fields."""
    names = [name for name in ('geometry', 'boxes', 'box_ids') if hasattr(one, name) or hasattr(other, name)]
    return all(torch.equal(one.get(name), other.get(name)) for name in names)


@pytest.mark.parametrize('flipped', [False, True], ids=['', 'of mirrored images'])
@pytest.mark.parametrize('steps', PIPELINES.values(), ids=PIPELINES)
def test_the_device_makes_the_same_views_of_whole_images_of_different_sizes(steps, flipped):
    steps = [*[dict(type='RandomFlipView', prob=1.0)] * flipped, *steps, dict(type='PackViews')]
    plain, deferred = pipeline(steps), pipeline(steps, defer_views)
    pairs = [(load(plain, seed), load(deferred, seed)) for seed in range(12)]
    assert all(numbers == same for (_, numbers), (_, same) in pairs)
    whole = pack_images([sample for _, (sample, _) in pairs])
    assert whole['inputs'][0].shape == (sum((60 + seed) * (90 - seed) for seed in range(12)), 3)
    made = DensePreprocessor(mean=(0, 0, 0), std=(1, 1, 1))(whole, True)
    for index, ((sample, _), _) in enumerate(pairs):
        assert same_fields(sample['data_samples'], made['data_samples'][index])
        for view, same in zip(sample['inputs'], made['inputs'], strict=True):
            assert (view - same[index]).abs().max() <= 1


class OwnCrop(WindowView):
    """Cuts its window out in its own way."""

    def draw_window(self, height, width):
        return 0, 0, width, height

    def show(self, results, window):
        return dict(results, crop_window=window, flip=False)


@pytest.mark.parametrize('wrong', [Marking(), Own(), OwnCrop(24)])
@pytest.mark.parametrize('place', [0, 1])
def test_a_transform_that_the_device_does_not_know_is_refused_in_one_line(wrong, place):
    steps = pipeline([*PIPELINES['views'], dict(type='PackViews')])
    view = steps.transforms[0].pipelines[1].transforms
    view[place : place + (place == 0)] = [wrong]
    with pytest.raises(UserError, match=f'device_views=True: .*{type(wrong).__name__}') as error:
        defer_views(steps)
    assert '\n' not in str(error.value) and 'config key train_dataloader.dataset.pipeline' in str(error.value)
    assert not any(
        getattr(transform, 'deferred', False) for each in steps.transforms[0].pipelines for transform in each.transforms
    )


def test_windows_of_a_source_that_is_stored_smaller_are_cut_out_of_the_stored_image():
    steps = [*PIPELINES['views'], dict(type='PackViews')]
    shrunk = dict(img=photograph(60, 80).copy(), img_path='', sample_idx=0, ori_shape=(241, 319), shrunk=True)
    made = []
    for deferred in (False, defer_views):
        np.random.seed(0), torch.manual_seed(0)
        made.append(pipeline(steps, deferred)(dict(shrunk)))
    views = DensePreprocessor(mean=(0, 0, 0), std=(1, 1, 1))(pack_images(made[1:]), True)
    assert same_fields(made[0]['data_samples'], views['data_samples'][0])
    for view, same in zip(made[0]['inputs'], views['inputs'], strict=True):
        assert (view - same[0]).abs().max() <= 1
