# A ResNet-18 without its last stage for the demo configs, 8 pixels per position (6 x 6 for 48 pixels).
model = dict(
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=18,
        stem_channels=64,
        base_channels=64,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 1),
        out_indices=(2,),
        norm_cfg=dict(type='mmdecouple.SplitBN'),
    )
)
