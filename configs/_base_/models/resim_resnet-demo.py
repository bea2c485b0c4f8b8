# ReSim, small enough for two CPU cores: a ResNet-18 without its last stage. Its second stage replaces conv4, with 8
# pixels per position (6 x 6 for 48 pixels), and the first one conv3.
_base_ = './resnet-demo_backbone.py'
model = dict(
    type='ReSim',
    backbone=dict(out_indices=(0, 1, 2), zero_init_residual=False),
    neck=dict(type='ReSimNeck', in_channels=[64, 128, 256], hid_channels=256, out_channels=128, channels=128),
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    queue_length=1024,
    channels=128,
    temperature=0.2,
    windows=((24, 8), (16, 12)),
    data_preprocessor=dict(type='DensePreprocessor'),
)
