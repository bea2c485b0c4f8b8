# SoCo on the C4 features of a ResNet-50: proposals are pooled from the output of conv4 and pass through conv5. SoCo's
# cutout is applied to the second view.
mlp = dict(
    type='mmpretrain.NonLinearNeck',
    hid_channels=4096,
    out_channels=256,
    with_bias=True,
    with_last_bias=True,
    with_last_bn=False,
    with_avg_pool=False,
)
model = dict(
    type='SoCo',
    backbone=dict(
        type='mmpretrain.ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='SyncBN'), zero_init_residual=True
    ),
    neck=dict(mlp, in_channels=2048),
    predictor=dict(mlp, in_channels=256),
    teacher=dict(type='EMATeacher', momentum=0.99, end_momentum=1.0),
    data_preprocessor=dict(type='DensePreprocessor', channels_last=True, batch_stages=[dict(type='CutBoxes')]),
)
