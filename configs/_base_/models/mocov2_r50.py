model = dict(
    type='MoCoV2',
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=50,
        out_indices=(3,),
        norm_cfg=dict(type='mmdecouple.SplitBN'),
        zero_init_residual=False,
    ),
    neck=dict(type='mmpretrain.MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128),
    teacher=dict(type='EMATeacher', momentum=0.999),
    queue_length=65536,
    channels=128,
    temperature=0.2,
    data_preprocessor=dict(type='DensePreprocessor', channels_last=True),
)
