# PixPro, small enough for two CPU cores: a ResNet-18 without its last stage, 8 pixels per position (6 x 6 for 48
# pixels).
_base_ = './resnet-demo_backbone.py'
model = dict(
    type='PixPro',
    backbone=dict(norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(type='PixelHeads', in_channels=256, hidden_channels=512, out_channels=128, norm_cfg=dict(type='BN')),
    predictor=dict(type='PixelPropagationModule', channels=128, gamma=2.0, layers=1),
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    distance_threshold=0.7,
    data_preprocessor=dict(type='DensePreprocessor'),
)
