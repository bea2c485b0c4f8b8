# Linear segmentation of ADE20K from a frozen ViT-S/16, in iBOT's protocol: taps 3, 5, 7 and 11 without a norm, side by
# side, and a 1 x 1 convolution; 160k iterations, batch 16; the last checkpoint counts. mIoU after pre-training on
# ImageNet, ViT-B/16:
# Published: iBOT 38.3, BEiT 27.4. For a ViT-S there is no number, and the authors' file for it has the rate of
# fine-tuning, 3e-5; here it is 8e-4, with which their ViT-B was run.
# The paper reports no such number for its -D methods.
# Not yet run here.
_base_ = './upernet_vit-s16_160k_ade20k.py'
model = dict(
    # The backbone is in evaluation mode and gets no gradients.
    backbone=dict(tap_norm='none', frozen=True),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='mmseg.FCNHead',
        in_channels=[384, 384, 384, 384],
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        channels=1536,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    _delete_=True,
    type='mmdecouple.PrecisionOptimWrapper',
    precision='fp16',
    optimizer=dict(type='AdamW', lr=8e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
