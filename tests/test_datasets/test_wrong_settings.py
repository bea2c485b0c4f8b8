"""A wrong argument of a data set, sampler or transform is one line that names it, before an image is read."""

import re

import pytest

import mmdecouple.datasets  # noqa: F401  registers what is built here
from mmdecouple.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS
from mmdecouple.utils.errors import MAX_LENGTH, UserError
from mmdecouple.utils.settings import SettingError

CROP = [dict(type='RandomResizedCropView', size=32)]
NAN = float('nan')


def transform(kind, **settings):
    return lambda: TRANSFORMS.build(dict(type=kind, **settings))


def views(kind, **settings):
    return transform(kind, **{'views': [CROP], 'num_views': [2], **settings})


def scenes(**settings):
    pipeline = [dict(type='MultiView', views=[CROP], num_views=[2]), dict(type='PackViews')]
    return lambda: DATASETS.build({'type': 'SceneImages', 'num_images': 2, 'pipeline': pipeline, **settings})


def images(**settings):
    return lambda: DATASETS.build({'type': 'ImageDataset', 'pipeline': [dict(type='PackViews')], **settings})


def probes(**settings):
    return lambda: DATASETS.build(
        {'type': 'ProbeDataset', 'objects': dict(type='SceneObjects', num_images=1), **settings}
    )


def sampler(**settings):
    return lambda: DATA_SAMPLERS.build({'type': 'EpochSampler', 'dataset': [1], **settings})


CASES = dict(
    size=[
        transform('RandomResizedCropView', size=value)
        for value in (-1, 0, 2.5, '32', None, (32,), (32, 0), True, 10**9)
    ]
    + [probes(size=value) for value in (50, 0, '224', NAN)]
    + [scenes(scenes=dict(size=value)) for value in (8, 'big', None)],
    scale=[
        transform('RandomResizedCropView', size=32, scale=value)
        for value in ((2, 1), (0.5, 0.2), (0, 1), 0.5, (NAN, 1))
    ],
    ratio=[transform('RandomResizedCropView', size=32, ratio=value) for value in ((2, 1), (0, 1), (1, float('inf')))],
    interpolation=[transform('RandomResizedCropView', size=32, interpolation=value) for value in ('cubic', 3)],
    prob=[
        transform(kind, prob=value)
        for value in (2, -0.1, NAN, '0.5', None)
        for kind in ('RandomFlipView', 'RandomGrayscale', 'RandomGaussianBlur', 'RandomSolarize', 'RandomColorJitter')
    ],
    hue=[transform('RandomColorJitter', hue=value) for value in (0.6, -1, 'red')],
    contrast=[transform('RandomColorJitter', contrast=value) for value in (2, None)],
    sigma=[transform('RandomGaussianBlur', sigma=value) for value in (1, (2, 1), (0, 1))],
    threshold=[transform('RandomSolarize', threshold=value) for value in (257, -1, '128')],
    num_views=[views('MultiView', num_views=value) for value in ([0], [2, 2], 2, [1.5], ['2'], [])],
    views=[transform('MultiView', views=value, num_views=[2]) for value in (None, 'crop', CROP, [[]])]
    + [transform('BoxViews', views=[[dict(type='RandomFlipView')]], num_views=[2])],
    overlap=[views('OverlapViews', overlap=value) for value in (0.5, -0.1, None)],
    tries=[views(kind, tries=value) for kind in ('OverlapViews', 'BoxViews') for value in (0, 1.5, None)]
    + [views('PartnerViews', pair=(0, 1), tries=value) for value in (0, 1.5, None)],
    pair=[views('PartnerViews', pair=value) for value in (0, (0,), (0, 2), (0, 0.5), (-1, 0), (1, 1))],
    share=[views('PartnerViews', pair=(0, 1), share=value) for value in (0, 1.5, None, NAN)],
    num_boxes=[views('BoxViews', num_boxes=value) for value in (0, '4', 2.0)],
    common=[views('BoxViews', common=value) for value in (0, 5, 'two')],
    pairs=[views('BoxViews', pairs=value) for value in ((), 3, [(0, 2)], [(0,)], [(-1, 0)], [('a', 'b')])],
    jitter=[views('BoxViews', jitter=value) for value in (0.5, -0.1, NAN)],
    jitter_prob=[views('BoxViews', jitter_prob=value) for value in (2, None)],
    grid=[transform('GridProposals', grid=value) for value in (0, 1.5, None)],
    area=[transform('GridProposals', area=value) for value in ((0.4, 0.1), (0, 0.4), 0.3)],
    aspect=[transform('GridProposals', aspect=value) for value in ((2, 1), (0, 1), None)],
    file=[transform('LoadProposals', file=value) for value in (None, 3, '')],
    num_images=[scenes(num_images=value) for value in (0, -1, 2.5, '9', True)],
    scenes=[scenes(scenes=value) for value in (3, 'big')],
    split=[scenes(split=value) for value in ('test', 1, ['train'])],
    seed=[scenes(seed=value) for value in (-1, 0.5, 'abc')] + [sampler(seed=-1), sampler(seed='abc'), probes(seed=-1)],
    pipeline=[scenes(pipeline=value) for value in (None, 'views')],
    shuffle=[sampler(shuffle='no')],
    round_up=[sampler(round_up=2)],
    max_bad_share=[images(max_bad_share=value) for value in (2, -1, NAN, '1%', None)],
    ann_file=[images(ann_file=value) for value in (3, '', ['a.json'])],
    data_root=[images(data_root=value) for value in (None, 3)],
    backend_args=[images(backend_args='s3')],
    cell=[probes(cell=value) for value in (0, None, 1.5)],
    cache=[probes(cache=value) for value in (0, 'all')],
    measures=[probes(measures=dict(type='OKNN'))],
)


@pytest.mark.parametrize(
    'setting, number', [(setting, i) for setting, builds in CASES.items() for i in range(len(builds))]
)
def test_a_wrong_value_is_one_line_that_names_the_setting(setting, number):
    with pytest.raises(UserError, match=setting) as caught:
        CASES[setting][number]()
    message = str(caught.value)
    assert '\n' not in message and 'got ' in message and len(message) < MAX_LENGTH


LIMITS = dict(
    size=[transform('RandomResizedCropView', size=value) for value in (1, (1, 1), (1, 40))]
    + [probes(size=1, cell=1), transform('WholeImageView', size=1)],
    scale=[transform('RandomResizedCropView', size=32, scale=value) for value in ((1e-3, 1), (1, 1))],
    ratio=[transform('RandomResizedCropView', size=32, ratio=(1e-3, 1e-3))],
    prob=[
        transform(kind, prob=value)
        for value in (0, 1)
        for kind in ('RandomFlipView', 'RandomGrayscale', 'RandomGaussianBlur', 'RandomSolarize', 'RandomColorJitter')
    ],
    hue=[transform('RandomColorJitter', hue=value) for value in (0, 0.5)],
    brightness=[
        transform('RandomColorJitter', **{key: value})
        for value in (0, 1)
        for key in ('brightness', 'contrast', 'saturation')
    ],
    sigma=[transform('RandomGaussianBlur', sigma=(1e-3, 1e-3))],
    threshold=[transform('RandomSolarize', threshold=value) for value in (0, 256)],
    num_views=[views('MultiView', num_views=[1])],
    overlap=[views('OverlapViews', overlap=value) for value in (0, 0.499)],
    tries=[views(kind, tries=1) for kind in ('OverlapViews', 'BoxViews')]
    + [views('PartnerViews', pair=(0, 1), tries=1)],
    pair=[views('PartnerViews', pair=(1, 0))],
    share=[views('PartnerViews', pair=(0, 1), share=value) for value in (1e-3, 1)],
    num_boxes=[views('BoxViews', num_boxes=1)],
    common=[views('BoxViews', num_boxes=4, common=value) for value in (1, 4)],
    pairs=[views('BoxViews', pairs=[(0, 1)]), views('BoxViews', pairs=[(1, 0)])],
    jitter=[views('BoxViews', jitter=value) for value in (0, 0.499)],
    jitter_prob=[views('BoxViews', jitter_prob=value) for value in (0, 1)],
    grid=[transform('GridProposals', grid=1), transform('GridProposals', num=1)],
    area=[transform('GridProposals', area=value) for value in ((1e-3, 1), (1, 1))],
    aspect=[transform('GridProposals', aspect=(1e-3, 1e-3))],
    num_images=[scenes(num_images=1)],
    seed=[scenes(seed=0), sampler(seed=0), probes(seed=0)],
    max_bad_share=[images(max_bad_share=value) for value in (0, 1)],
    cell=[probes(cell=1)],
    cache=[probes(cache=1)],
)


@pytest.mark.parametrize(
    'setting, number', [(setting, i) for setting, builds in LIMITS.items() for i in range(len(builds))]
)
def test_a_value_at_its_limit_is_accepted(setting, number):
    try:
        LIMITS[setting][number]()
    except UserError as error:
        assert not isinstance(error, SettingError) and not re.search(rf'\b{setting}\b', str(error)), error
