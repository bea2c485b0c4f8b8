# SoCo on the feature pyramid of a ResNet-50, with the box head of detectors. No cutout, as in the authors' long runs.
_base_ = ['./soco_r50-c4.py']
model = dict(
    type='SoCoFPN',
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(
        _delete_=True,
        type='RegionPyramid',
        in_channels=[256, 512, 1024, 2048],
        projector=dict(_base_.mlp, in_channels=1024),
    ),
    data_preprocessor=dict(batch_stages=[]),
)
