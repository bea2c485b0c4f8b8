# Initialized as the authors' code does (`WXinlong/DenseCL`): Kaiming's normal by the number of inputs in every convolution
# of the backbone and in both layers of the pooled projection, whose biases are zero; the dense projection as torch does.
_base_ = ['./mocov2_r50.py']
model = dict(
    type='DenseCL',
    backbone=dict(
        init_cfg=[
            dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='relu'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ]),
    neck=dict(
        type='mmpretrain.DenseCLNeck',
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_in', nonlinearity='relu')),
    dense_weight=0.5)
