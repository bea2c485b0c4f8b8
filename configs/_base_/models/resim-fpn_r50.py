# ReSim with both region terms, at conv4 and conv3, on a small top-down path: the variant that its authors released.
_base_ = ['./mocov2_r50.py']
model = dict(
    type='ReSim',
    backbone=dict(out_indices=(1, 2, 3)),
    neck=dict(_delete_=True, type='ReSimNeck', in_channels=[512, 1024, 2048]),
    windows=((48, 32), (32, 24)),
)
