# Mask R-CNN R50-C4 on COCO, 1x = 90k iterations: the COCO column of the paper's Table 1, box AP / mask AP after 800
# epochs of pre-training on COCO.
# Published: MoCo v2 37.8 / 32.9, ReSim 38.3 / 33.5, DenseCL 38.5 / 33.6, DenseCL-D 39.3 / 34.2, PLRC 39.8 / 35.9 (the
# gap of 3.9 does not look like C4), SoCo 38.5 / 33.4, SoCo-RCC 38.9 / 33.9, SoCo-D 40.3 / 35.1.
# Pre-trained on ImageNet (SoCo's, InsLoc's and PixPro's tables): supervised 38.2 / 33.3, MoCo v2-200 38.9 / 34.1,
# InsLoc-400 39.8 / 34.7, SoCo-400 40.9 / 35.3, PixPro-100 40.0 / 34.8, PixPro-400 40.5 / 35.3. SoCo's own files have
# weight decay 2.5e-5; here it is 1e-4 as in MoCo's.
# Anchors are assigned by detectron2's rule, as for all published numbers here (`BestAnchorAssigner`).
# Not yet run here.
_base_ = ['../_base_/scopes.py', '../_base_/r50_c4.py', 'mmdet::mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py']
custom_imports = dict(imports=['mmdecouple.downstream'], allow_failed_imports=False)
model = _base_.c4
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        resize_type='mmdet.Resize',
        keep_ratio=True,
        scales=[(1333, side) for side in (640, 672, 704, 736, 768, 800)],
    ),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
# Empty images are dropped as in detectron2; images of less than 32 pixels make no difference in practice.
train_dataloader = dict(
    batch_size=2, sampler=dict(type='InfiniteSampler', shuffle=True), dataset=dict(pipeline=train_pipeline)
)
optim_wrapper = dict(_delete_=True, **_base_.sgd)
# Iterations, not epochs (12 epochs would be 87,950), and a warm-up of 1000 iterations (mmdet: 500).
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=90000, val_interval=30000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1001),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=90000, milestones=[60000, 80000], gamma=0.1),
]
# Exact statistics of the batch norms before the last checkpoint, over 200 training batches.
custom_hooks = [dict(type='mmdecouple.LoadCheckHook'), dict(type='mmdecouple.PreciseBNHook', iterations=200)]
default_hooks = dict(
    checkpoint=dict(
        type='mmdecouple.DurableCheckpointHook',
        by_epoch=False,
        interval=5000,
        max_keep_ckpts=2,
        backend_args=dict(backend='atomic'),
    )
)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=16)
