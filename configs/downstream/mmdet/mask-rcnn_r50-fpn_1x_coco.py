# Mask R-CNN R50-FPN on COCO, 1x = 90k iterations, synchronized norms in backbone, FPN and both heads, as DenseCL, SoCo
# and InsLoc have it. MoCo's own rows have them in backbone and FPN only: rows of the two kinds do not compare. The
# paper has no such table. Box AP / mask AP, pre-trained on ImageNet:
# Published: supervised 38.9 / 35.4, MoCo v2-200 39.8 / 36.1, InsLoc-200 41.4 / 37.1, InsLoc-400 42.0 / 37.6, SoCo-100
# 42.3 / 37.6, SoCo-400 43.0 / 38.2, SoCo*-400 43.2 / 38.4. PixPro's table has
# supervised 39.7 / 35.9, PixPro-100 40.8 / 36.8. Report a supervised and a MoCo v2 row of this very config.
# Anchors are assigned by detectron2's rule, as for all published numbers here (`BestAnchorAssigner`).
# Not yet run here.
_base_ = ['../_base_/scopes.py', 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['mmdecouple.downstream'], allow_failed_imports=False)
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    # A key that does not match raises an error. SoCo-FPN also provides its pyramid and box head, unless pyramid=False.
    init_cfg=dict(type='mmdecouple.PretrainedBackbone', checkpoint=None),
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(norm_cfg=norm_cfg),
    rpn_head=dict(type='mmdecouple.FloatRPNHead'),
    roi_head=dict(
        bbox_roi_extractor=dict(type='mmdecouple.FloatRoIExtractor'),
        mask_roi_extractor=dict(type='mmdecouple.FloatRoIExtractor'),
        bbox_head=dict(type='mmdet.Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
    train_cfg=dict(
        # Every object gets an anchor. A proposal with an IoU below 0.5 is never an object (in mmdet, the best one is).
        rpn=dict(assigner=dict(_delete_=True, type='mmdecouple.BestAnchorAssigner')),
        rcnn=dict(assigner=dict(match_low_quality=False)),
    ),
)
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
train_dataloader = dict(
    batch_size=2, sampler=dict(type='InfiniteSampler', shuffle=True), dataset=dict(pipeline=train_pipeline)
)
# No weight decay for norms.
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.0))
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
