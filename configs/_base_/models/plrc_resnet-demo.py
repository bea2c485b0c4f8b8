# PLRC, small enough for two CPU cores: a ResNet-18 without its last stage, 8 pixels per position (6 x 6 for 48 pixels),
# 12 x 12 points. Initialized as `plrc_r50.py`.
_base_ = './resnet-demo_backbone.py'
model = dict(
    type='PLRC',
    backbone=dict(zero_init_residual=True),
    neck=dict(
        type='PointHead',
        in_channels=256,
        hidden_channels=256,
        out_channels=128,
        bottleneck_channels=128,
        prototypes=256,
    ),
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    queue_length=1024,
    channels=128,
    temperature=0.2,
    point_grid=12,
    points=8,
    affinity=dict(warmup_epochs=3),
    data_preprocessor=dict(type='DensePreprocessor'),
)
