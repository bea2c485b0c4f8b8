"""What a class does without settings is what its source publishes."""

import inspect
from dataclasses import is_dataclass

import pytest
from mmengine.registry import Registry

import mmdecouple.datasets
import mmdecouple.downstream
import mmdecouple.engine
import mmdecouple.evaluation
import mmdecouple.models  # noqa: F401
from mmdecouple import registry
from mmdecouple.evaluation import lsc_maps
from mmdecouple.evaluation.segmentation import FCNHead
from mmdecouple.masks import MASKS, PRESETS, grid_regions, place_regions
from mmdecouple.utils.configs import load_config

# Class -> where the values are published, and the values.
PUBLISHED = dict(
    DenseCL=(
        'arXiv 2011.09157, section 4.1',
        dict(queue_length=65536, channels=128, temperature=0.2, dense_weight=0.5),
    ),
    MoCoV2=('arXiv 2003.04297; moco main_moco.py', dict(queue_length=65536, channels=128, temperature=0.2)),
    ReSim=(
        'ReSim main_moco.py --moco-t 0.2; moco/datasets.py',
        dict(queue_length=65536, channels=128, temperature=0.2, windows=((48, 32), (32, 24))),
    ),
    ReSimNeck=('ReSim moco/models.py', dict(hid_channels=2048, out_channels=128, channels=256, top_down=True)),
    IBOT=(
        'arXiv 2111.07832, appendix; ibot main_ibot.py',
        dict(
            mim_share=0.5,
            student_temperature=0.1,
            teacher_temperature=(0.04, 0.07),
            warmup_epochs=30,
            center_momentum=0.9,
        ),
    ),
    DINOHead=(
        'ibot main_ibot.py; models/head.py',
        dict(out_channels=8192, hidden_channels=2048, bottleneck_channels=256),
    ),
    Leopart=(
        'arXiv 2204.13101, section 4; leopart_config.yml, queue of two processes',
        dict(
            local_views=4,
            temperature=0.1,
            epsilon=0.05,
            iterations=3,
            queue_length=8192 // 2,
            queue_share=10,
            attention_mass=0.6,
            roi_size=7,
        ),
    ),
    NeCo=('NeCo experiments/configs/models/small/neco_dino.yml', dict(references=7**2, steepness=100.0)),
    ProjectionHead=(
        'NeCo experiments/configs/models/small/neco_dino.yml',
        dict(hidden_channels=2048, out_channels=256),
    ),
    PLRC=(
        'PLRC main_plrc.py, datasets/imagenet.py, models/plrc_loss.py',
        dict(
            queue_length=65536,
            channels=128,
            temperature=0.2,
            region_grid=4,
            point_grid=56,
            points=16,
            negatives=15,
            loss_weights=(0.7, 0.3, 0.3),
        ),
    ),
    PointAffinity=(
        'PLRC models/plrc_loss.py, models/utils.py; the scale of this package',
        dict(
            reach=0.5,
            scale=1.0,
            student_temperature=0.1,
            teacher_temperature=(0.04, 0.07),
            warmup_epochs=30,
            center_momentum=0.9,
        ),
    ),
    PointHead=(
        'PLRC models/resnet.py',
        dict(out_channels=128, hidden_channels=2048, bottleneck_channels=256, prototypes=4096),
    ),
    PrototypeHead=('leopart_config.yml', dict(prototypes=300, hidden_channels=2048, out_channels=256)),
    UniRefiner=(
        'UniRefiner method/unirefiner.py, method/losses.py, configs/dinov2_giant.yaml',
        dict(
            crops=3,
            crop_scale=(0.25, 0.5),
            crop_aspect=(2 / 3, 3 / 2),
            strip_ratio=0.35,
            border=1,
            deviations=0.5,
            register_similarity=0.55,
            temperature=0.2,
            uniformity=0.3,
            register_weight=0.1,
            scd_weight=0.4,
            scd_start=0.1,
        ),
    ),
    LoRA=('UniRefiner models/lora/presets/linear_r-8.json', dict(rank=8, alpha=16, dropout=0.1)),
    MaskAlign=('arXiv 2211.08887, section 4.1', dict(mask_ratio=0.7, masking='attention')),
    DynamicAlignment=(
        'arXiv 2211.08887, section 3.3',
        dict(levels=5, student_depth=12, teacher_depth=12, fusion='linear'),
    ),
    FrozenViT=('arXiv 2211.08887, section 4.1', dict(levels=5)),
    SplitBN=('MoCo, section 4: 256 images on 8 GPUs', dict(group_size=32)),
    SoCo=('SoCo contrast/models/SoCo_C4.py', dict(roi_size=14)),
    RegionPyramid=(
        'arXiv 2106.02637, section 3.2; SoCo contrast/models/SoCo_FPN.py',
        dict(channels=256, fc_channels=1024, limits=(48, 96, 192, 224), roi_size=7),
    ),
    PixPro=('PixPro contrast/option.py', dict(distance_threshold=0.7)),
    PixelHeads=('PixPro contrast/models/PixPro.py', dict(hidden_channels=4096, out_channels=256)),
    PixelMLP=('PixPro contrast/models/PixPro.py', dict(hidden_channels=4096, out_channels=256)),
    PixelPropagationModule=('PixPro tools/pixpro_base_r50_100ep.sh', dict(channels=256, gamma=2.0, layers=1)),
    CutBoxes=('SoCo contrast/data/transform_ops.py', dict(prob=0.5, area=(0.1, 0.3))),
    SoCoLARS=('SoCo contrast/lars.py', dict(momentum=0.9, weight_decay=1e-5, trust=0.001, eps=1e-8)),
    EMATeacher=('MoCo, section 3.1', dict(momentum=0.999)),
    DecouplingBranch=(
        'the paper, section 4.1.2, Tables 8 and 9',
        dict(
            loss_weight=0.3,
            ratio=0.25,
            weighting='convex',
            background='partner',
            foreground='uncut',
            alignment='point_to_point',
            mixing='pixel',
        ),
    ),
    DensePreprocessor=('torchvision', dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))),
    RandomResizedCropView=(
        'MoCo v2 main_moco.py; torchvision',
        dict(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), interpolation='bilinear'),
    ),
    RandomColorJitter=('MoCo v2 main_moco.py', dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8)),
    RandomGrayscale=('MoCo v2 main_moco.py', dict(prob=0.2)),
    RandomGaussianBlur=('MoCo v2 main_moco.py, loader.py', dict(sigma=(0.1, 2.0), prob=0.5)),
    RandomFlipView=('torchvision', dict(prob=0.5)),
    RandomSolarize=('DINO main_dino.py, utils.py', dict(threshold=128, prob=0.2)),
    GridProposals=('the paper, section 4.1.1', dict(grid=3, area=(0.15, 0.4), aspect=(1 / 2, 2), num=9)),
    OverlapViews=('leopart_config.yml', dict(overlap=0.01)),
    PartnerViews=('PLRC datasets/imagenet.py', dict(pair=(0, 2), share=0.5, tries=100)),
    BoxViews=('SoCo contrast/option.py', dict(tries=5)),
    OKNN=(
        'the paper, section 3; DINO eval_knn.py',
        dict(k=20, temperature=0.07, per_image=3, bank_images=None, query_images=None),
    ),
    BackgroundLeak=(
        'as OKNN; numbers of images of this package',
        dict(k=20, temperature=0.07, bank=3000, queries=1000),
    ),
    ContextShift=('this package', dict(objects=1000)),
    InterCouplingRatio=(
        'the paper, section 3.2; limits of this package',
        dict(pairs=2000, removal='mask', alone='half', min_area=0.05, max_area=0.6, min_side=64, eps=1e-2),
    ),
    IntraCouplingRatio=(
        'the paper, section 3.2; limits of this package',
        dict(objects=5000, region='rest', min_cells=32, min_part_cells=4),
    ),
    LSC=('the paper, eq. 20; numbers of this package', dict(window=5, images=50, cells=196, crop_feature='patches')),
    LinearSegmentation=(
        'Leopart experiments/linear_probing',
        dict(
            epochs=25,
            drop_at=20,
            batch_size=120,
            lr=0.01,
            momentum=0.9,
            weight_decay=1e-4,
            grid=100,
            eval_size=None,
            augment=True,
            seeds=1,
        ),
    ),
    FCNSegmentation=(
        'Leopart experiments/fcn',
        dict(
            epochs=30,
            drop_at=20,
            batch_size=64,
            lr=0.01,
            momentum=0.9,
            weight_decay=1e-4,
            grid=100,
            eval_size=None,
            augment=True,
            seeds=1,
            channels=512,
        ),
    ),
    OverClustering=(
        'Leopart experiments/overcluster; faiss.Kmeans',
        dict(clusters=(500,), seeds=5, pca_dim=50, iterations=100, restarts=5, sample=256, grid=100, library='auto'),
    ),
    DenseViT=(
        'ibot main_ibot.py: ViT-S with learned positions',
        dict(arch='deit-small', position='learned', mask_token=False, weights=None, with_cp=False),
    ),
    PlainViT=(
        'ibot evaluation/object_detection/configs/cascade/vit_small_giou_4conv1f_coco_3x.py',
        dict(out_indices=(3, 5, 7, 11), tap_norm='none', frozen=False),
    ),
    ViTPyramid=('ibot evaluation/object_detection/mmcv_custom', dict(patch_size=16)),
    ResLayerExtraNorm=('moco detection/train_net.py: res5', dict(stage=3, style='pytorch', norm_eval=False)),
    BestAnchorAssigner=('detectron2 config/defaults.py', dict(pos_iou_thr=0.7, neg_iou_thr=0.3)),
    FloatRoIExtractor=('detectron2; FPN, eq. 1: 224 / 4', dict(finest_scale=56)),
    PreciseBNHook=('detectron2 config/defaults.py', dict(iterations=200)),
    Blockwise=('ibot main_ibot.py', dict(cut_ratio=(0.3, 0.5))),
    Rectangle=('the paper, section 6.1', dict(area=(0.2, 0.6))),
    RegionCollaborativeCutout=('the paper', dict(preset='paper')),
)
# The same of functions and of classes that no config names.
OWN = [
    (FCNHead, 'mmsegmentation FCNHead', dict(channels=512, dropout=0.1)),
    (lsc_maps, 'the paper, eq. 20', dict(window=5, upsample=None, precision='fp32')),
]


def class_named(name: str) -> type:
    registries = (part for key, part in vars(registry).items() if isinstance(part, Registry) and 'MMENGINE' not in key)
    return next((found for part in registries if (found := part.module_dict.get(name))), None) or MASKS[name]


@pytest.mark.parametrize('name', PUBLISHED)
def test_defaults_are_the_published_values(name):
    source, values = PUBLISHED[name]
    kind = class_named(name)
    parameters = inspect.signature(kind.__init__).parameters
    assert {key: parameters[key].default for key in values} == values, source
    if is_dataclass(kind):
        built = kind()
        assert {key: getattr(built, key) for key in values} == values, 'defaults that the class accepts'


@pytest.mark.parametrize('own, source, values', OWN)
def test_defaults_of_what_no_config_names_are_the_published_values(own, source, values):
    parameters = inspect.signature(own).parameters
    assert {key: parameters[key].default for key in values} == values, source


@pytest.mark.parametrize('draw', [grid_regions, place_regions])
def test_regions_are_by_default_those_of_the_paper(draw):
    parameters, paper = inspect.signature(draw).parameters, PRESETS['paper']
    assert {key: parameters[key].default for key in ('grid', 'area', 'aspect')} == dict(
        grid=paper['grid'], area=paper['box_area'], aspect=paper['aspect']
    )


@pytest.mark.parametrize(
    'name, place, preset',
    [
        ('paper', 'decoupling.mask', 'paper'),
        ('release', 'decoupling.mask', 'release'),
        ('rcc', 'batch_stages.0.mask', 'paper'),
        ('rcc_proposals', 'batch_stages.0.mask', 'paper'),
        ('rcc_mim', 'mim_mask', 'release'),
    ],
)
def test_shipped_configs_write_out_the_constants_of_a_preset(name, place, preset):
    block = load_config(f'mmdecouple::_base_/decoupling/{name}.py').to_dict()
    for part in place.split('.'):
        block = block[int(part) if part.isdigit() else part]
    block.pop('_delete_', None)
    assert block == dict(type='RegionCollaborativeCutout', **PRESETS[preset])


def test_presets_are_those_of_the_paper_and_of_the_released_code():
    assert (
        dict(
            paper=dict(cut_ratio=(0.3, 0.5), grid=3, box_area=(0.15, 0.4), aspect=(1 / 2, 2), rule='area'),
            release=dict(cut_ratio=(0.2, 0.6), grid=3, box_area=(0.12, 0.3), aspect=(1 / 2, 2), rule='release'),
        )
        == PRESETS
    )
