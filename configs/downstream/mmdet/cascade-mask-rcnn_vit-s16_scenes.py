# Smoke run of cascade-mask-rcnn_vit-s16_1x_coco.py on exported scenes.
_base_ = ['./cascade-mask-rcnn_vit-s16_1x_coco.py', '../_base_/scenes_detection.py']
model = dict(
    backbone=dict(img_size=256, with_cp=False),
    roi_head=dict(
        bbox_head=[dict(head, num_classes=12) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(num_classes=12)),
    train_cfg=dict(
        rpn_proposal=_base_.smoke_train_rpn,
        rcnn=[
            dict(stage, sampler=dict(stage.sampler, **_base_.smoke_train_sampler))
            for stage in _base_.model.train_cfg.rcnn
        ]),
    test_cfg=_base_.smoke_test_cfg)
train_dataloader = _base_.smoke_train_dataloader
val_dataloader = _base_.smoke_val_dataloader
test_dataloader = val_dataloader
val_evaluator = _base_.smoke_evaluator
test_evaluator = val_evaluator
optim_wrapper = dict(precision='fp32')
train_cfg = _base_.smoke_loop
param_scheduler = _base_.smoke_schedule
default_hooks = _base_.smoke_hooks
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=2)
