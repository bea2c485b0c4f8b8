# Smoke run of fcn_r50_voc.py on real images in the layout of COCO.
_base_ = ['./fcn_r50_voc.py', '../_base_/coco128_segmentation.py']
custom_imports = dict(
    imports=['mmdecouple.downstream', 'mmdecouple.downstream.mapped_images'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    decode_head=dict(num_classes=200),
    auxiliary_head=dict(num_classes=200))
train_dataloader = _base_.smoke_train_dataloader
val_dataloader = _base_.smoke_val_dataloader
test_dataloader = val_dataloader
train_cfg = _base_.smoke_loop
param_scheduler = _base_.smoke_schedule
default_hooks = _base_.smoke_hooks
auto_scale_lr = dict(base_batch_size=2)
