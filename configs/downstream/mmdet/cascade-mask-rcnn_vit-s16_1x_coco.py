# Cascade Mask R-CNN with ViT-S/16 on COCO, 1x, in iBOT's protocol: the COCO columns of the paper's ViT table, box AP /
# mask AP after 800 epochs of pre-training on COCO.
# Published: iBOT 42.3 / 37.0 (900 epochs 42.7 / 37.2), iBOT-RCC 43.1 / 37.6, iBOT-MC 43.7 / 38.1, iBOT-D 45.1 / 39.1,
# MaskAlign 45.6 / 39.6, MaskAlign-D 46.7 / 40.5. After 200 epochs, box AP: iBOT 38.7, with Rec 39.3, Ran 39.9,
# Blockwise 41.1, Cutout 39.2, RCC 42.0. Their software was older by years: compare with a base row of your own.
# Anchors are assigned by mmdet's rule, as in iBOT's code: an object whose best anchor has an IoU below 0.3 gets none.
# Not yet run here.
_base_ = [
    '../_base_/scopes.py',
    'mmdet::convnext/cascade-mask-rcnn_convnext-t-p4-w7_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py',
]
custom_imports = dict(imports=['mmdecouple.downstream'], allow_failed_imports=False)
model = dict(
    # A key that does not match raises an error.
    init_cfg=dict(type='mmdecouple.PretrainedBackbone', checkpoint=None),
    backbone=dict(
        _delete_=True,
        type='mmdecouple.PlainViT',
        arch='deit-small',
        img_size=(800, 1008),
        patch_size=16,
        out_indices=(3, 5, 7, 11),
        tap_norm='none',
        drop_path_rate=0.1,
        with_cp=True,
    ),
    neck=[
        dict(
            type='mmdecouple.ViTPyramid',
            in_channels=384,
            patch_size=16,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
        ),
        dict(type='mmdet.FPN', in_channels=[384, 384, 384, 384], out_channels=256, num_outs=5),
    ],
    rpn_head=dict(type='mmdecouple.FloatRPNHead'),
    roi_head=dict(
        bbox_roi_extractor=dict(type='mmdecouple.FloatRoIExtractor'),
        mask_roi_extractor=dict(type='mmdecouple.FloatRoIExtractor'),
    ),
)
train_dataloader = dict(batch_size=4)
# Layer i of 12 has 0.8^(13 - i) of the learning rate. As in iBOT's code, weight decay applies to positions and tokens.
optim_wrapper = dict(
    _delete_=True,
    type='mmdecouple.PrecisionOptimWrapper',
    precision='fp16',
    constructor='mmdecouple.LayerDecayConstructor',
    paramwise_cfg=dict(decay_rate=0.8),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
train_cfg = dict(max_epochs=12)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
custom_hooks = [dict(type='mmdecouple.LoadCheckHook')]
default_hooks = dict(
    checkpoint=dict(
        type='mmdecouple.DurableCheckpointHook', interval=1, max_keep_ckpts=2, backend_args=dict(backend='atomic')
    )
)
auto_scale_lr = dict(base_batch_size=32)
