# Linear segmentation of ADE20K from a frozen ViT-S/16, in DINOv2's protocol: the last layer with its final norm, a
# batch norm and a 1 x 1 convolution; 40k iterations, batch 16; the last checkpoint counts. mIoU after pre-training on
# ImageNet-22k (iBOT) and on LVD-142M (DINOv2):
# Published: iBOT ViT-L/16 44.6, DINOv2 ViT-S/14 44.3. DINOv2 resizes the shorter side to 512 whatever the longer one
# becomes; here the longer one has the usual limit of 2048.
# The paper reports no such number for its -D methods.
# Not yet run here.
_base_ = './upernet_vit-s16_160k_ade20k.py'
model = dict(
    # The backbone is in evaluation mode and gets no gradients.
    backbone=dict(out_indices=(11,), tap_norm='shared', frozen=True),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='mmdecouple.NormedLinearHead',
        in_channels=384,
        in_index=0,
        dropout_ratio=0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    _delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1501),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=40001),
]
train_cfg = dict(max_iters=40000, val_interval=10000)
