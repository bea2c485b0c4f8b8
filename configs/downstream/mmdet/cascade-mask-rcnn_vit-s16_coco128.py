# Smoke run of cascade-mask-rcnn_vit-s16_1x_coco.py on real images in the layout of COCO.
_base_ = ['./cascade-mask-rcnn_vit-s16_1x_coco.py', '../_base_/coco128_detection.py']
model = dict(
    backbone=dict(img_size=320, with_cp=False),
    roi_head=dict(
        bbox_head=[dict(head, num_classes=80) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(num_classes=80)))
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
