# FCN R50 on VOC 2012 train_aug (10,582 images), tested on val, 20k iterations: the VOC segmentation column of DenseCL,
# which takes mmseg's recipe with the network's own 7 x 7 stem. mIoU after 800 epochs of pre-training on COCO:
# Published: MoCo v2 64.5, DenseCL 67.5 (1600 epochs 68.0). On ImageNet, 200 epochs: MoCo v2 67.5, DenseCL 69.4.
# The paper reports no such number for its -D methods.
# Not yet run here.
_base_ = ['../_base_/scopes.py', 'mmseg::fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py']
custom_imports = dict(
    imports=['mmdecouple.downstream', 'mmdecouple.downstream.segmentation'], allow_failed_imports=False
)
model = dict(
    # A key that does not match raises an error.
    init_cfg=dict(type='mmdecouple.PretrainedBackbone', checkpoint=None),
    # mmseg's model has supervised weights and a stem of three convolutions.
    pretrained=None,
    backbone=dict(type='mmseg.ResNet'),
)
# From the full rate to 1e-4 over all iterations; mmengine includes both ends.
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, by_epoch=False, begin=0, end=20001)]
custom_hooks = [dict(type='mmdecouple.LoadCheckHook')]
default_hooks = dict(
    checkpoint=dict(
        type='mmdecouple.DurableCheckpointHook', interval=2000, max_keep_ckpts=2, backend_args=dict(backend='atomic')
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
