# Smoke run of mask-rcnn_r50-c4_90k_coco.py on real images in the layout of COCO.
_base_ = ['./mask-rcnn_r50-c4_90k_coco.py', '../_base_/coco128_detection.py']
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=80), mask_head=dict(num_classes=80)),
    train_cfg=dict(rpn_proposal=_base_.smoke_train_rpn, rcnn=dict(sampler=_base_.smoke_train_sampler)),
    test_cfg=_base_.smoke_test_cfg)
train_dataloader = _base_.smoke_train_dataloader
val_dataloader = _base_.smoke_val_dataloader
test_dataloader = val_dataloader
val_evaluator = _base_.smoke_evaluator
test_evaluator = val_evaluator
custom_hooks = [dict(type='mmdecouple.LoadCheckHook'), dict(type='mmdecouple.PreciseBNHook', iterations=4)]
train_cfg = _base_.smoke_loop
param_scheduler = _base_.smoke_schedule
default_hooks = _base_.smoke_hooks
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=2)
