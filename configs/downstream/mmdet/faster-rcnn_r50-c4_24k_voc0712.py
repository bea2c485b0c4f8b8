# Faster R-CNN R50-C4 on VOC 2007 + 2012 trainval (16,551 images), tested on 2007, 24k iterations: the VOC column of the
# paper's Table 1, AP / AP50 / AP75 after 800 epochs of pre-training on COCO, mean of five runs.
# Published: MoCo v2 54.6 / 81.0 / 60.4, ReSim 56.6 / 81.7 / 63.5, DenseCL 56.7 / 81.7 / 63.0, DenseCL-D 57.2 / 82.2 /
# 63.7, PLRC 57.1 / 82.1 / 63.8, SoCo 56.8 / 81.7 / 63.5, SoCo-D 57.8 / 82.5 / 64.4. DenseCL after 200 epochs (Table
# 10): 55.0; with RCC 55.9. Pre-trained on ImageNet (MoCo): supervised 53.5 / 81.3 / 58.8, MoCo v2-200 57.0 / 82.4 /
# 63.6; (PixPro) PixPro-100 58.8 / 83.0 / 66.5, PixPro-400 60.2 / 83.8 / 67.7.
# mmdet subtracts 1 from all four coordinates of a box, detectron2 from the first two only; this difference of at most a
# pixel is kept. Anchors are assigned by detectron2's rule, as for all published numbers here (`BestAnchorAssigner`).
# Not yet run here.
_base_ = ['../_base_/scopes.py', '../_base_/r50_c4.py', 'mmdet::pascal_voc/faster-rcnn_r50-caffe-c4_ms-18k_voc0712.py']
custom_imports = dict(imports=['mmdecouple.downstream'], allow_failed_imports=False)
model = _base_.c4
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    # Difficult objects are used for training, where mmdet would treat them as background; the test ignores them.
    dict(type='mmdecouple.TrainOnIgnored'),
    dict(
        type='RandomChoiceResize',
        resize_type='mmdet.Resize',
        scales=[(1333, side) for side in (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)],
        keep_ratio=True,
    ),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
# Without `ignore_keys`, the metainfo of the concatenated data set would be a list instead of a dict.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmdet.ConcatDataset',
        ignore_keys=['dataset_type'],
        datasets=[
            dict(
                type='mmdet.VOCDataset',
                data_root=_base_.data_root,
                ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
                data_prefix=dict(sub_data_root=f'VOC{year}/'),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline=train_pipeline,
                backend_args=None,
            )
            for year in (2007, 2012)
        ],
    )
)
# Ten thresholds as a plain list: mmdet does not accept an array, and would name 0.90 AP89.
val_evaluator = dict(_delete_=True, type='mmdecouple.VOCTenMetric')
test_evaluator = val_evaluator
optim_wrapper = dict(_delete_=True, **_base_.sgd)
train_cfg = dict(max_iters=24000, val_interval=12000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=101),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=24000, milestones=[18000, 22000], gamma=0.1),
]
# Exact statistics of the batch norms before the last checkpoint, over 200 training batches.
custom_hooks = [dict(type='mmdecouple.LoadCheckHook'), dict(type='mmdecouple.PreciseBNHook', iterations=200)]
default_hooks = dict(
    checkpoint=dict(
        type='mmdecouple.DurableCheckpointHook',
        by_epoch=False,
        interval=2000,
        max_keep_ckpts=2,
        backend_args=dict(backend='atomic'),
    )
)
auto_scale_lr = dict(base_batch_size=16)
