"""Networks that a task can be built on are what the table says of them, and the heads on them fit."""

import mmengine.registry as root
import pytest
import torch
import torchvision
from mmdet.utils import register_all_modules as register_detection
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmseg.utils import register_all_modules as register_segmentation
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from mmdecouple.downstream.archs import ARCHS
from mmdecouple.downstream.strides import check_strides
from mmdecouple.downstream.tasks import TASKS, check_arch, task_config
from mmdecouple.weights.pretrained import architecture


def build(task, arch):
    register_detection(init_default_scope=False)
    register_segmentation(init_default_scope=False)
    config = task_config(task, arch=arch)
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device('meta'):
        return root.MODELS.build(ConfigDict(config.model, init_cfg=None))


# Every network, and every kind of head on another network than the protocol's.
@pytest.mark.parametrize(
    'task, arch',
    [
        ('coco-mask-rcnn-c4', 'resnet18'),
        ('voc-faster-rcnn-c4', 'resnet50'),
        ('coco-mask-rcnn-fpn', 'resnet-demo'),
        ('coco-mask-rcnn-fpn', 'resnet18'),
        ('voc-fcn', 'resnet-demo'),
        ('voc-fcn', 'resnet18'),
        ('voc-fcn', 'resnet50'),
        ('coco-cascade-vit', 'vit-demo'),
        ('coco-cascade-vit', 'vit-ti16'),
        ('coco-cascade-vit', 'vit-s8'),
        ('ade-upernet', 'vit-b16'),
        ('ade-upernet', 'vit-b8'),
        ('ade-linear-4taps', 'vit-ti8'),
        ('ade-linear-last', 'vit-demo'),
        ('ade-linear-last', 'vit-s16'),
        ('coco-cascade-vit', 'vit-demo-dinov2-reg'),
        ('coco-cascade-vit', 'vit-s16-dinov3'),
        ('ade-upernet', 'vit-s14-dinov2'),
        ('ade-linear-4taps', 'vit-demo-dinov3'),
        ('ade-linear-last', 'vit-b14-dinov2-reg'),
    ],
)
def test_every_head_takes_the_maps_of_the_network_that_the_table_describes(task, arch):
    model, row = build(task, arch), ARCHS[arch]
    side = 112 if 'patch 14' in row.architecture else 128
    images = torch.empty(2, 3, side, side, device='meta')
    state = model.backbone.state_dict() | (model.roi_head.shared_head.state_dict() if 'c4' in task else {})
    assert architecture(state) == row.architecture
    check_strides(model)
    raw, maps = model.backbone(images), model.extract_feat(images)
    channels, taps = [one.shape[1] for one in raw], model.backbone.out_indices
    assert channels == [row.widths[index] for index in taps]
    if row.network == 'ViT':
        patch = row.backbone['patch_size']
        assert {side // one.shape[-1] for one in raw} == {patch} and len(model.backbone.layers) == len(row.widths)
        depth = len(row.widths)
        # Of a ViT as deep as the protocol's the taps stay, otherwise they are its last blocks.
        assert taps == ([depth - 1] if len(taps) == 1 else [3, 5, 7, 11] if depth == 12 else [0, 1, 2, 3])
    if 'roi_head' in vars(model)['_modules']:
        strides = [16] if 'c4' in task else list(row.strides)
        assert [side / one.shape[-1] for one in maps] == strides
        assert [stride[0] for stride in model.rpn_head.prior_generator.strides] == strides
        model.rpn_head(maps)
        check_regions(model.roi_head, maps, side)
    else:
        heads = [model.decode_head, *([model.auxiliary_head] if model.with_auxiliary_head else [])]
        assert all(head(maps).shape[:2] == (2, head.num_classes) for head in heads)


def check_regions(roi, maps, side):
    """The heads take regions of the maps, on the strides of these."""
    c4 = len(maps) == 1
    for kind in ('bbox', 'mask'):
        heads, extractors = getattr(roi, f'{kind}_head', None), getattr(roi, f'{kind}_roi_extractor', None)
        if heads is None:
            continue
        heads = heads if isinstance(heads, torch.nn.ModuleList) else [heads]
        extractors = extractors if isinstance(extractors, torch.nn.ModuleList) else [extractors] * len(heads)
        for head, extractor in zip(heads, extractors):
            assert [int(side / stride) for stride in extractor.featmap_strides] == [one.shape[-1] for one in maps[:4]]
            region = extractor.roi_layers[0].output_size[0]
            regions = torch.empty(3, extractor.out_channels, region, region, device='meta')
            assert extractor.out_channels == maps[0].shape[1]
            head(roi.shared_head(regions) if c4 else regions)


@pytest.mark.parametrize(
    'task, arch', [('ade-linear-4taps', 'vit-ti16'), ('ade-linear-last', 'vit-b16'), ('ade-upernet', 'vit-ti8')]
)
def test_a_head_on_a_vit_is_as_wide_as_the_network_as_on_that_of_the_protocol(task, arch):
    shares = []
    for name in (arch, None):
        config = task_config(task, arch=name)
        head, width = config.model.decode_head, ARCHS[name or TASKS[task].arch].widths[0]
        inputs = head.in_channels if isinstance(head.in_channels, list) else [head.in_channels]
        shares.append((head.get('channels', 0) / width, [one / width for one in inputs]))
    assert shares[0] == shares[1]


@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_the_depth_of_every_resnet_of_torchvision_is_recognized(depth):
    with torch.device('meta'):
        state = torchvision.models.get_model(f'resnet{depth}').state_dict()
    assert architecture(state) == f'ResNet-{depth}'


@pytest.mark.parametrize(
    'block, blocks, name',
    [
        (BasicBlock, (2, 2, 2, 1), '2-2-2-1 basic'),
        (Bottleneck, (2, 2, 2, 2), '2-2-2-2 bottleneck'),
        (Bottleneck, (3, 4, 36, 3), '3-4-36-3 bottleneck'),
        (BasicBlock, (3, 4, 23, 3), '3-4-23-3 basic'),
    ],
)
def test_a_resnet_without_a_name_is_called_by_its_blocks(block, blocks, name):
    with torch.device('meta'):
        state = ResNet(block, list(blocks)).state_dict()
    assert architecture(state) == f'ResNet of {name} blocks'


def test_what_is_no_network_is_called_by_its_first_tensors():
    names = dict.fromkeys(('a', 'b', 'c'), torch.ones(1))
    assert architecture(names) == 'network with tensors such as a, b'
    assert architecture({}) == 'network with tensors such as none'


@pytest.mark.parametrize('arch', ARCHS)
def test_a_network_is_accepted_on_just_the_tasks_of_its_kind(arch):
    row = ARCHS[arch]
    fitting = []
    for task in TASKS:
        try:
            check_arch(row.architecture, task, arch, 'The file')
        except ValueError as error:
            assert 'cannot be built; tasks that fit' in str(error)
            named = str(error).rpartition(': ')[2].rstrip('.').split(', ')
            assert (f'--arch {arch}:' in str(error)) == (arch not in ('resnet50', 'vit-s16'))
        else:
            fitting.append(task)
    vit, stages = arch.startswith('vit'), 3 if arch == 'resnet-demo' else 4
    assert (
        fitting
        == named
        == [task for task in TASKS if (TASKS[task].network == 'ViT') == vit and (stages == 4 or 'c4' not in task)]
    )
