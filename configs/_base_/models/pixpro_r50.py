# PixPro on the last map of a ResNet-50: positions of 32 pixels, 7 x 7 for 224 pixels.
model = dict(
    type='PixPro',
    backbone=dict(
        type='mmpretrain.ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='SyncBN'), zero_init_residual=True
    ),
    neck=dict(type='PixelHeads', in_channels=2048, hidden_channels=4096, out_channels=256),
    predictor=dict(type='PixelPropagationModule', channels=256, gamma=2.0, layers=1),
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    distance_threshold=0.7,
    data_preprocessor=dict(type='DensePreprocessor', channels_last=True),
)
