# UPerNet with ViT-S/16 on ADE20K, 160k iterations, in iBOT's protocol: the ADE column of the paper's ViT table, mIoU
# after 800 epochs of pre-training on COCO; the last checkpoint counts.
# Published: iBOT 39.9, iBOT-D 41.6, MaskAlign 43.7, MaskAlign-D 44.3. Positions that were not resized cost iBOT's users
# 18 points.
# Not yet run here.
_base_ = [
    '../_base_/scopes.py',
    'mmseg::_base_/models/upernet_mae.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_160k.py',
]
custom_imports = dict(
    imports=['mmdecouple.downstream', 'mmdecouple.downstream.segmentation'], allow_failed_imports=False
)
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    # A key that does not match raises an error.
    init_cfg=dict(type='mmdecouple.PretrainedBackbone', checkpoint=None),
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        _delete_=True,
        type='mmdecouple.PlainViT',
        arch='deit-small',
        img_size=512,
        patch_size=16,
        out_indices=(3, 5, 7, 11),
        # The same final norm is applied to all four taps.
        tap_norm='shared',
        drop_path_rate=0.1,
    ),
    neck=dict(_delete_=True, type='mmdecouple.ViTPyramid', in_channels=384, patch_size=16, norm_cfg=norm_cfg),
    decode_head=dict(channels=384, num_classes=150),
    auxiliary_head=dict(num_classes=150),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
# Layer i of 12 has 0.9^(13 - i) of the learning rate. As in iBOT's code, weight decay applies to positions and tokens.
optim_wrapper = dict(
    _delete_=True,
    type='mmdecouple.PrecisionOptimWrapper',
    precision='fp16',
    constructor='mmdecouple.LayerDecayConstructor',
    paramwise_cfg=dict(decay_rate=0.9),
    optimizer=dict(type='AdamW', lr=3e-5, betas=(0.9, 0.999), weight_decay=0.05),
)
# As in mmcv 1, the decay starts immediately and the warm-up multiplies it. mmengine includes both ends, so that `end`
# is one larger.
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1501),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=160001),
]
# Four GPUs with four images each, as in iBOT's README; the paper's release mentions eight with two.
train_dataloader = dict(batch_size=4)
custom_hooks = [dict(type='mmdecouple.LoadCheckHook')]
default_hooks = dict(
    checkpoint=dict(
        type='mmdecouple.DurableCheckpointHook', interval=8000, max_keep_ckpts=2, backend_args=dict(backend='atomic')
    )
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
