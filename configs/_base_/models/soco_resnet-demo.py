# SoCo, small enough for two CPU cores: a ResNet-18 without its last stage, 8 pixels per position (6 x 6 for 48 pixels).
# The third stage, which does not change the stride, replaces conv5.
_base_ = './resnet-demo_backbone.py'
mlp = dict(
    type='mmpretrain.NonLinearNeck',
    hid_channels=512,
    out_channels=128,
    with_bias=True,
    with_last_bias=True,
    with_last_bn=False,
    with_avg_pool=False,
    norm_cfg=dict(type='BN1d'),
)
model = dict(
    type='SoCo',
    backbone=dict(norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(mlp, in_channels=256),
    predictor=dict(mlp, in_channels=128),
    roi_size=4,
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    data_preprocessor=dict(type='DensePreprocessor', batch_stages=[dict(type='CutBoxes')]),
)
