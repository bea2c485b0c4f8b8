# Initialized as in the authors' code (`facebookresearch/PLRC`): Kaiming normal by fan-out for all convolutions, zero
# for the last batch norm of each residual block, and torch's default for the point projection.
_base_ = ['./mocov2_r50.py']
model = dict(
    type='PLRC',
    backbone=dict(zero_init_residual=True),
    neck=dict(
        _delete_=True,
        type='PointHead',
        in_channels=2048,
        hidden_channels=2048,
        out_channels=128,
        bottleneck_channels=256,
        prototypes=4096,
    ),
    region_grid=4,
    point_grid=56,
    points=16,
    negatives=15,
    loss_weights=(0.7, 0.3, 0.3),
    affinity=dict(reach=0.5, scale=1.0, teacher_temperature=(0.04, 0.07), warmup_epochs=30),
)
