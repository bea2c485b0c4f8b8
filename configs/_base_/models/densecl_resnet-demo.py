# DenseCL, small enough for two CPU cores: a ResNet-18 without its last stage, 8 pixels per position (6 x 6 for 48
# pixels). Initialized as in `densecl_r50.py`.
_base_ = './resnet-demo_backbone.py'
model = dict(
    type='DenseCL',
    backbone=dict(
        zero_init_residual=False,
        init_cfg=[
            dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='relu'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ],
    ),
    neck=dict(
        type='mmpretrain.DenseCLNeck',
        in_channels=256,
        hid_channels=256,
        out_channels=128,
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_in', nonlinearity='relu'),
    ),
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    queue_length=1024,
    channels=128,
    temperature=0.2,
    dense_weight=0.5,
    data_preprocessor=dict(type='DensePreprocessor'),
)
