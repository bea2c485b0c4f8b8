"""A wrong value of any argument of any class of models, masks and engine is one line with its config key."""

import inspect
import math
import re
from typing import NamedTuple

import pytest
import torch

from mmdecouple.engine import PrecisionOptimWrapper, SoCoLARS, WarmupCosineLR
from mmdecouple.masks import MASKS, build_mask
from mmdecouple.models.layers import Center, EmbeddingQueue, NegativeQueue
from mmdecouple.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import SettingError

from . import test_leopart, test_maskalign, test_pixpro, test_plrc, test_resim, test_soco
from .conftest import BRANCH, NECK, RESNET, batch, densecl, losses_of
from .golden_models import ibot

NAN, INF = math.nan, math.inf
# Of no numeric argument.
NO_NUMBER = ('0.5', NAN, INF, True, [0.5])
MOCO = dict(
    type='MoCoV2',
    backbone=RESNET,
    queue_length=32,
    channels=16,
    neck=dict(type='mmpretrain.MoCoV2Neck', in_channels=32, hid_channels=32, out_channels=16),
)
VIT = dict(type='DenseViT', arch='deit-tiny', img_size=32, patch_size=16)
ONES = dict(embed_dims=1, num_layers=1, num_heads=1, feedforward_channels=1)
PYRAMID = test_soco.soco_fpn()['neck']


def student():
    return dict(neck=torch.nn.Linear(2, 2))


class Number(NamedTuple):
    """Values of a numeric argument: what is refused, and the limits themselves."""

    wrong: tuple
    right: tuple

    def __iter__(self):
        return iter(self.wrong)


def whole(least, most=None):
    over = () if most is None else (most + 1,)
    return Number((*NO_NUMBER, 2.5, None, least - 1, *over), (least,) if most is None else (least, most))


def real(least=None, most=None, above=None, below=None):
    wrong = dict(least=-0.1, most=0.1, above=0, below=0)
    right = dict(least=0, most=0, above=1e-3, below=-1e-3)
    limits = {
        key: limit for key, limit in dict(least=least, most=most, above=above, below=below).items() if limit is not None
    }
    return Number(
        (*NO_NUMBER, None, *(limit + wrong[key] for key, limit in limits.items())),
        tuple(limit + right[key] for key, limit in limits.items()),
    )


def sides():
    """One side of a square, or height and width."""
    pairs = (*((value, 1) for value in whole(1)), *((1, value) for value in whole(1)), (1,), (1, 1, 1), [])
    return Number((*(value for value in whole(1) if not isinstance(value, list)), *pairs), (1, (1, 1), [1, 1]))


def maybe(number):
    return Number(tuple(value for value in number if value is not None), (None, *number.right))


WORD, FLAG, BLOCK = ('any', None, 3, ['paper']), ('yes', 1, None), (None, 'densecl', 3, {})
ALGORITHM = dict(
    backbone=BLOCK,
    neck=('mlp', 3),
    predictor=('mlp', 3),
    teacher=('ema', 3),
    decoupling=('paper', True, {}),
    terms=(None, 3, dict(type='GramAnchoring'), ['GramAnchoring'], [{}], [None]),
    frozen_backbone_epochs=whole(0),
    dense_stride=maybe(whole(1)),
    measured=WORD,
    data_preprocessor=('dense', 3),
)
VIEWS = (0, [], [0.5], [-1], 'all', None)
PAIR = ((0.1,), (0.1, 0.2, 0.3), (0.5, 0.1), 'all', (0.1, '0.2'), (NAN, 0.2))

# Config of an object that can be built -> its arguments with values that are wrong.
CASES = [
    (
        densecl(),
        dict(ALGORITHM, queue_length=whole(1), channels=whole(1), temperature=real(above=0), dense_weight=real(0, 1)),
    ),
    (densecl(type='MisalignedDenseCL', match_rank=2), dict(match_rank=(0, -1, 'best', None, True, 1.5))),
    (MOCO, dict(ALGORITHM, queue_length=whole(1), channels=whole(1), temperature=real(above=0))),
    (
        ibot(),
        dict(
            ALGORITHM,
            mim_mask=(*BLOCK, dict(type='Blockwise', cut_ratio=0.0), dict(type='Blokwise')),
            mim_share=real(0, 1),
            local_views=whole(0),
            student_temperature=real(above=0),
            teacher_temperature=(0.04, (0.04,), (0.04, 0.07, 0.1), (0.0, 0.07), (0.04, -1.0), 'x'),
            warmup_epochs=whole(0),
            center_momentum=real(0, 1),
            visible_weight=real(0),
        ),
    ),
    (ibot(type='MisalignedIBOT', target_rank=2), dict(target_rank=(0, 'near', None))),
    (
        test_leopart.leopart(),
        dict(
            ALGORITHM,
            local_views=whole(0),
            temperature=real(above=0),
            epsilon=real(above=0),
            iterations=whole(1),
            queue_length=whole(0),
            queue_share=whole(1),
            attention_mass=real(above=0, most=1),
            roi_size=whole(1),
        ),
    ),
    (test_maskalign.maskalign(), dict(ALGORITHM, mask_ratio=real(0, below=1), masking=WORD, drop=real(0, 1))),
    (
        test_plrc.plrc(points=1, point_grid=4),
        dict(
            ALGORITHM,
            queue_length=whole(1),
            channels=whole(1),
            temperature=real(above=0),
            region_grid=whole(1),
            point_grid=whole(4),
            points=whole(1, 16),
            negatives=whole(0),
            loss_weights=(0.3, (0.7, 0.3), (0.7, 0.3, 0), (0.7, 0.3, '0.3'), None),
            affinity=('dino', 3),
        ),
    ),
    (
        test_resim.resim(),
        dict(
            ALGORITHM,
            queue_length=whole(1),
            channels=whole(1),
            temperature=real(above=0),
            windows=(None, 16, (), ((16, 8),), ((16, 8),) * 3, (16, 8), ((16, 8), (8,)), ((16, 8), (8, 0.5))),
        ),
    ),
    (
        dict(type='ReSimNeck', in_channels=[8, 16]),
        dict(
            in_channels=(None, 8, [], [8], [8, 0], [8, '16']),
            hid_channels=whole(1),
            out_channels=whole(1),
            channels=whole(1),
            top_down=FLAG,
        ),
    ),
    (test_soco.soco(), dict({**ALGORITHM, 'predictor': BLOCK}, roi_size=whole(1))),
    (test_soco.soco_fpn(), {**ALGORITHM, 'predictor': BLOCK}),
    (
        test_pixpro.with_instance(test_pixpro.pixpro()),
        dict(
            {**ALGORITHM, 'predictor': BLOCK},
            distance_threshold=real(above=0),
            instance_predictor=('mlp', 3),
            instance_weight=real(above=0),
        ),
    ),
    (
        dict(type='PixelHeads', in_channels=1, norm_cfg=dict(type='BN')),
        dict(in_channels=whole(1), hidden_channels=whole(1), out_channels=whole(1), instance=FLAG, norm_cfg=('BN', {})),
    ),
    (
        dict(type='PixelMLP', in_channels=1, norm_cfg=dict(type='BN')),
        dict(in_channels=whole(1), hidden_channels=whole(1), out_channels=whole(1), norm_cfg=('BN', {})),
    ),
    (
        dict(type='PixelPropagationModule', norm_cfg=dict(type='BN')),
        dict(channels=whole(1), gamma=real(above=0), layers=whole(0, 2), norm_cfg=('BN', {})),
    ),
    (
        BRANCH,
        dict(
            mask=BLOCK,
            loss_weight=real(0, 1),
            weighting=WORD,
            ratio=real(above=0),
            background=WORD,
            foreground=WORD,
            alignment=WORD,
            partner_view=WORD,
            mixing=WORD,
            mask_stride=maybe(whole(1)),
        ),
    ),
    (
        dict(type='DenseViT', arch='deit-tiny', img_size=4, patch_size=1, position='rope'),
        dict(rope=(3, [], dict(period=3), dict(base=0), dict(shift=-1), dict(jitter=0.5), dict(rescale=0.5))),
    ),
    # A patch of one pixel, so that both sides have their limit.
    (
        dict(type='DenseViT', arch='deit-tiny', img_size=4, patch_size=1),
        dict(
            arch=Number(
                ('vit-x', None, 3, 'small', *(ONES | {key: value} for key in ONES for value in (*whole(1), None))),
                (ONES,),
            ),
            position=WORD,
            mask_token=FLAG,
            weights=(3, '', True),
            with_cp=FLAG,
            drop_path_rate=real(0, below=1),
            drop_rate=real(0, below=1),
            img_size=sides(),
            patch_size=sides(),
            antialias=FLAG,
            key_bias=FLAG,
            qkv_bias=FLAG,
            register_tokens=whole(0),
            in_channels=whole(1),
            layer_scale_init_value=real(0),
            layer_cfgs=(3, [], [{}], dict(ffn_type='gated')),
            rope=(3, [], dict(base=10.0)),
        ),
    ),
    (
        dict(type='DINOHead', in_channels=8),
        dict(
            in_channels=whole(1),
            out_channels=whole(2),
            hidden_channels=whole(1),
            bottleneck_channels=whole(1),
            norm_last_layer=FLAG,
            freeze_last_layer=whole(0),
        ),
    ),
    (
        dict(type='PointHead', in_channels=8),
        dict(
            in_channels=whole(1),
            out_channels=whole(1),
            hidden_channels=whole(1),
            bottleneck_channels=whole(1),
            prototypes=whole(1),
        ),
    ),
    (
        dict(type='PointAffinity', points=4, prototypes=3),
        dict(
            points=whole(1),
            prototypes=whole(1),
            reach=real(above=0),
            scale=real(0),
            student_temperature=real(above=0),
            teacher_temperature=(0.04, (0.04,), (0.04, 0.07, 0.1), (0.0, 0.07), (0.04, -1.0), 'x'),
            warmup_epochs=whole(0),
            center_momentum=real(0, 1),
        ),
    ),
    (
        dict(type='PrototypeHead', in_channels=8),
        dict(in_channels=whole(1), prototypes=whole(2), hidden_channels=whole(1), out_channels=whole(1)),
    ),
    (
        dict(type='DynamicAlignment', in_channels=8, out_channels=8),
        dict(
            in_channels=whole(1),
            out_channels=whole(1),
            student_depth=whole(1),
            teacher_depth=whole(1),
            levels=whole(1, 12),
            fusion=WORD,
        ),
    ),
    (
        PYRAMID,
        dict(
            in_channels=(8, [], [0, 16, 32, 64], ['8', 16, 32, 64]),
            projector=BLOCK,
            channels=whole(1),
            fc_channels=whole(1),
            norm_cfg=('BN', 3, {}),
            roi_size=whole(1),
            limits=(48, (48, 96), (96, 48, 192, 224), (0, 96, 192, 224)),
        ),
    ),
    (dict(type='EMATeacher', student=student()), dict(momentum=real(0, 1), end_momentum=maybe(real(0, 1)))),
    (
        dict(type='GramAnchoring', student=dict(backbone=torch.nn.Linear(2, 2))),
        dict(weight=real(0), start_epoch=whole(0), refresh_epochs=maybe(whole(1)), scale=whole(1)),
    ),
    (
        dict(type='FrozenViT', backbone=VIT),
        dict(backbone=BLOCK, checkpoint=(3, ''), levels=whole(1), statistics=WORD, input_size=maybe(whole(1))),
    ),
    (
        dict(type='CutViews', mask=dict(type='Blockwise')),
        dict(
            mask=(*BLOCK, dict(type='Blockwise', cut_ratio=2)),
            views=VIEWS,
            mask_stride=whole(1),
            fill=real(),
            on_regions=FLAG,
        ),
    ),
    (dict(type='CutBoxes'), dict(views=VIEWS, prob=real(0, 1), area=(*PAIR, 0.1, (0.1, 2)), fill=real())),
    (
        dict(type='DensePreprocessor'),
        dict(
            mean=((1.0, 2.0), 3, None, ('1', '2', '3')),
            std=((1.0, 2.0), (0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, NAN, 1.0)),
            channels_last=FLAG,
            batch_stages=(dict(type='CutBoxes'), 'CutBoxes', [3], [{}], None),
        ),
    ),
    (dict(type='SplitBN', num_features=4), dict(group_size=whole(1))),
    (Center(4), dict(channels=whole(1), momentum=real(0, 1))),
    (NegativeQueue(4, 4), dict(length=whole(1), channels=whole(1))),
    (EmbeddingQueue(4, 4), dict(length=whole(0), channels=whole(1))),
    (
        dict(type='RegionCollaborativeCutout'),
        dict(
            cut_ratio=(*PAIR, 1.4, -0.1),
            grid=maybe(whole(1)),
            box_area=(*PAIR, 0, (0.1, 4)),
            aspect=(*PAIR, 0, -1),
            preset=WORD,
            rule=('any', 3),
        ),
    ),
    (
        dict(type='Cutout'),
        dict(cut_ratio=(*PAIR, 1.4), grid=maybe(whole(1)), box_area=(0, 2, '1'), aspect=(0, INF), preset=WORD),
    ),
    (dict(type='Blockwise'), dict(cut_ratio=(*PAIR, None, 1.4, -0.1, True))),
    (dict(type='RandomMask'), dict(cut_ratio=(*PAIR, None, 1.4, NAN))),
    (dict(type='Rectangle'), dict(area=(*PAIR, 0, 2, None), aspect=(*PAIR, 0, -1, None))),
    (
        dict(type='PrecisionOptimWrapper', optimizer=None),
        dict(
            precision=WORD,
            accumulative_counts=whole(1),
            sharded=FLAG,
            clip_grad=(3, dict(type='all'), dict(max_norm=0), dict(max_norm=NAN), dict(type='tensor'), {}),
        ),
    ),
    (
        dict(type='SoCoLARS', params=None, lr=0.1),
        dict(lr=real(0), momentum=real(0, below=1), weight_decay=real(0), trust=real(above=0), eps=real(above=0)),
    ),
    (
        dict(type='DecayGroupsConstructor', optim_wrapper_cfg={}),
        dict(
            paramwise_cfg=(
                3,
                dict(lr=2),
                dict(free='norm'),
                dict(free=[3]),
                dict(lr_mult=2),
                dict(lr_mult=dict(neck=0)),
                dict(lr_mult=dict(neck='10')),
                *(dict(layer_decay=rate) for rate in (0, 1.5, '0.9', None, True, NAN)),
            )
        ),
    ),
    (
        dict(type='WarmupCosineLR', optimizer=None, warmup=1, eta_min=0.0, end=10),
        dict(warmup=real(0, below=10), eta_min=real(0), start=real(0, 1), warmup_endpoint=FLAG, begin=real(0)),
    ),
    (dict(type='CouplingHook'), dict(interval=whole(1), probe=('coco', 3), batch_size=whole(1), num_workers=whole(0))),
    (dict(type='RemarksHook'), dict(max_share=real(0, 1))),
    (dict(type='RankMeterHook'), dict(interval=whole(1), images=whole(2))),
    (dict(type='WatchdogHook'), dict(timeout=maybe(real(above=0)), peer_timeout=maybe(real(above=0)))),
]
REGISTRIES = MODELS, HOOKS, OPTIM_WRAPPERS, OPTIMIZERS, OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS


def class_of(config) -> type:
    if not isinstance(config, dict):
        return type(config)
    return next(
        (found for registry in REGISTRIES if (found := registry.module_dict.get(config['type']))),
        MASKS.get(config['type']),
    )


def make(config, argument, value):
    kind = class_of(config)
    if not isinstance(config, dict):
        return kind(
            **{'length': 4, 'channels': 4, argument: value}
            if 'length' in inspect.signature(kind).parameters
            else {'channels': 4, argument: value}
        )
    if kind in MASKS.values():
        return build_mask(dict(config, **{argument: value}))
    settings = {key: entry for key, entry in config.items() if key != 'type'}
    if kind in (PrecisionOptimWrapper, SoCoLARS, WarmupCosineLR):
        parameters = [torch.nn.Parameter(torch.zeros(2))]
        free = dict(optimizer=torch.optim.SGD(parameters, 0.1), params=parameters)
        settings |= {key: entry for key, entry in free.items() if key in settings}
    return kind(**settings | {argument: value})


ENTRIES = [
    pytest.param(config, argument, value, id=f'{class_of(config).__name__}-{argument}-{value!r:.40}')
    for config, arguments in CASES
    for argument, values in arguments.items()
    for value in values
]


@pytest.mark.parametrize('config, argument, value', ENTRIES)
def test_a_wrong_value_is_one_line_that_names_it(config, argument, value):
    with pytest.raises(UserError) as error:
        make(config, argument, value)
    message = str(error.value)
    assert argument.partition('.')[0] in message and '\n' not in message and len(message) <= 250, message
    assert not isinstance(config, dict) or '(config key' in message, message


LIMITS = [
    pytest.param(config, argument, value, id=f'{class_of(config).__name__}-{argument}-{value!r}')
    for config, arguments in CASES
    for argument, values in arguments.items()
    if isinstance(values, Number)
    for value in values.right
]


@pytest.mark.parametrize('config, argument, value', LIMITS)
def test_a_value_at_its_limit_is_accepted(config, argument, value):
    try:
        make(config, argument, value)
    except SettingError as error:
        # Of a list or a dict an entry is named, as in `img_size[0]` and `arch.num_layers`.
        assert re.split(r'\W', error.setting)[0] != argument, error


def test_every_argument_of_every_class_is_tried():
    tried = {class_of(config): set(arguments) for config, arguments in CASES}
    kinds = {
        kind
        for registry in REGISTRIES
        for kind in registry.module_dict.values()
        if kind.__module__.startswith(
            ('mmdecouple.models', 'mmdecouple.decoupling', 'mmdecouple.masks', 'mmdecouple.engine')
        )
    }
    # What mmengine gives, what other classes check, and what is no number, word or flag.
    given = {
        'self',
        'kwargs',
        'args',
        'optimizer',
        'params',
        'optim_wrapper_cfg',
        'student',
        'end',
        'by_epoch',
        'init_cfg',
        'num_features',
    }
    untried = [
        f'{kind.__name__}.{name}'
        for kind in (*kinds, *MASKS.values())
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name not in given | tried.get(kind, set())
    ]
    # GracefulStopHook has a test of its own.
    assert [name for name in untried if not name.startswith(('GracefulStop', 'DurableCheckpoint'))] == []


@pytest.mark.parametrize(
    'config, views',
    [(densecl(), 3), (MOCO, 1), (test_maskalign.maskalign(), 2), (ibot(), 3), (test_plrc.plrc(), 2)],
    ids=['DenseCL', 'MoCo v2', 'MaskAlign', 'iBOT', 'PLRC'],
)
def test_views_that_the_method_does_not_take_are_refused(config, views):
    model = MODELS.build(config)
    with pytest.raises(
        UserError, match=f'the method takes {model.num_views} views of an image, but the batch has {views}'
    ):
        losses_of(model, batch(views=views))


@pytest.mark.parametrize(
    'config, part, kind',
    [
        (densecl(neck=MOCO['neck']), 'neck', "mmpretrain's DenseCLNeck, got MoCoV2Neck"),
        (ibot(neck=NECK), 'neck', 'a DINOHead, got DenseCLNeck'),
        (ibot(backbone=RESNET), 'backbone', 'a DenseViT, got ResNet'),
        (test_leopart.leopart(backbone=RESNET), 'backbone', 'a DenseViT, got ResNet'),
        (test_pixpro.pixpro(neck=NECK), 'neck', 'a PixelHeads, got DenseCLNeck'),
        (test_maskalign.maskalign(neck=NECK), 'neck', 'a DynamicAlignment, got DenseCLNeck'),
        (test_plrc.plrc(neck=NECK), 'neck', 'a PointHead, got DenseCLNeck'),
        (test_resim.resim(neck=NECK), 'neck', 'a ReSimNeck, got DenseCLNeck'),
    ],
)
def test_a_part_of_another_method_is_refused(config, part, kind):
    with pytest.raises(UserError, match=f'type must be {kind} .config key model.{part}.type'):
        MODELS.build(config)


def test_more_decoupled_views_than_key_views_are_refused():
    with pytest.raises(UserError, match='ratio must not exceed 1, the decoupled views of an image, got 1.5'):
        losses_of(MODELS.build(densecl(decoupling=dict(BRANCH, ratio=1.5))), batch())


def test_a_view_to_cut_that_the_batch_has_not_is_refused():
    stages = [dict(type='CutViews', mask=dict(type='Blockwise'), views=(0, 2), mask_stride=8)]
    with pytest.raises(UserError, match=r'views must be below 2, the views of the batch, got \(0, 2\)'):
        losses_of(MODELS.build(densecl(data_preprocessor=dict(batch_stages=stages))), batch())
