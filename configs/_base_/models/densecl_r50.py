# Initialized as in the authors' code (`WXinlong/DenseCL`): Kaiming normal by fan-in with zero biases for all
# convolutions of the backbone and both layers of the pooled projection; torch's default for the dense projection.
_base_ = ['./mocov2_r50.py']
model = dict(
    type='DenseCL',
    backbone=dict(
        init_cfg=[
            dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='relu'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ]
    ),
    neck=dict(
        type='mmpretrain.DenseCLNeck', init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_in', nonlinearity='relu')
    ),
    dense_weight=0.5,
)
