"""Smoke runs of a task: seconds or minutes of training on small data instead of the protocol."""

from collections.abc import Iterator

from mmengine.config import Config, ConfigDict

from mmdecouple.utils.configs import load_config

SMOKES = {
    'coco128': '128 + 128 images of COCO 2017 with train2017/, val2017/, annotations/ and semantic/',
    'scenes': 'an export: mmdecouple scenes --out data/scenes --train 64 --val 32 --size 128',
    'overfit': 'nothing: the scenes are drawn',
}
SIDE = 128
_COCO_CLASSES = 80
_NARROW = 64


def shrink(config: Config, smoke: str) -> None:
    """Replaces the data and the loop in the config of a task with those of a smoke run, with few regions per image.

    `overfit` also uses narrow heads and a high learning rate.

    Args:
        config: Config of the task, changed in place.
        smoke: Key of `SMOKES`.
    """
    model, detects = config.model, 'roi_head' in config.model
    overlay = load_config(f'mmdecouple::downstream/smoke/{smoke}_{"detection" if detects else "segmentation"}.py')
    has_masks = bool(model.get('roi_head', {}).get('mask_head'))
    side = 256 if detects and smoke != 'overfit' else SIDE
    config.merge_from_dict({key: value for key, value in overlay.to_dict().items() if key in config})
    for hook in config.custom_hooks:
        if hook.type == 'mmdecouple.PreciseBNHook':
            hook.iterations = 4
    classes = config.test_dataloader.dataset.get('metainfo', {}).get('classes', range(_COCO_CLASSES))
    for head in _heads(model):
        head.num_classes = len(classes)
    if 'precision' in config.optim_wrapper:
        config.optim_wrapper.precision = 'fp32'
    if 'img_size' in model.backbone:
        model.backbone.update(img_size=side, with_cp=False)
    if detects:
        config.test_evaluator.metric = ['bbox', 'segm'] if has_masks else ['bbox']
        _take_few_regions(model, 64 if smoke != 'overfit' else 12 if 'shared_head' in model.roi_head else 32)
    else:
        model.data_preprocessor.size = (side, side)
        if model.test_cfg.mode == 'slide':
            model.test_cfg.update(crop_size=(side, side), stride=(85, 85))
    if smoke == 'overfit':
        _narrow(model)
        rate = 1e-2 if model.backbone.get('frozen') else 1e-3
        config.optim_wrapper.optimizer = dict(type='AdamW', lr=rate, weight_decay=0.01)


def _heads(model: ConfigDict) -> Iterator[ConfigDict]:
    """Yields the configs of all heads that depend on the number of classes."""
    parts = [model.get(name) for name in ('decode_head', 'auxiliary_head')]
    parts += [model.get('roi_head', {}).get(name) for name in ('bbox_head', 'mask_head')]
    for part in parts:
        yield from part if isinstance(part, list) else filter(None, [part])


def _take_few_regions(model: ConfigDict, count: int) -> None:
    """Reduces the number of regions, so that a CPU takes seconds instead of minutes per iteration or image."""
    model.train_cfg.rpn_proposal.max_per_img = 100
    stages = model.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        stage.sampler.num = count
    model.test_cfg.rpn.max_per_img = 20
    model.test_cfg.rcnn.max_per_img = 20


def _narrow(model: ConfigDict) -> None:
    """Reduces the channels of heads and pyramid, and the size of the regions of conv5 in a C4 detector."""
    neck = model.get('neck') or []
    roi = model.get('roi_head', {})
    if 'shared_head' in roi:
        roi.bbox_roi_extractor.roi_layer.output_size = 8
        roi.bbox_head.roi_feat_size = 4
        model.train_cfg.rcnn.mask_size = 8
        model.rpn_head.feat_channels = _NARROW
    for part in neck if isinstance(neck, list) else [neck]:
        if 'out_channels' in part:
            part.out_channels = _NARROW
            model.rpn_head.update(in_channels=_NARROW, feat_channels=_NARROW)
            for extractor in (roi.bbox_roi_extractor, roi.mask_roi_extractor):
                extractor.out_channels = _NARROW
            for head in _heads(model):
                head.in_channels = _NARROW
    for head in _heads(model):
        for key, width in (('conv_out_channels', _NARROW), ('fc_out_channels', 2 * _NARROW)):
            if key in head:
                head[key] = width
        if head.get('num_convs', 1) and 'channels' in head:
            head.channels = _NARROW
