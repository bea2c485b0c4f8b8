# PixPro small enough for two CPU cores: a ResNet-18 without its last stage, 8 pixels a position (6 x 6 for 48 pixels).
model = dict(
    type='PixPro',
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=18,
        stem_channels=64,
        base_channels=64,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 1),
        out_indices=(2,),
        norm_cfg=dict(type='BN'),
        zero_init_residual=True,
    ),
    neck=dict(type='PixelHeads', in_channels=256, hidden_channels=512, out_channels=128, norm_cfg=dict(type='BN')),
    predictor=dict(type='PixelPropagationModule', channels=128, gamma=2.0, layers=1),
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    distance_threshold=0.7,
    data_preprocessor=dict(type='DensePreprocessor'),
)
