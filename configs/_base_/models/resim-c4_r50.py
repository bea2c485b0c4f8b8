# ReSim with one region term, at conv4. Only weights of this variant were released; the convolutions between conv4 and
# the windows are those of the released top-down path, without the contribution of conv5.
_base_ = ['./mocov2_r50.py']
model = dict(
    type='ReSim',
    backbone=dict(out_indices=(2, 3)),
    neck=dict(_delete_=True, type='ReSimNeck', in_channels=[1024, 2048], top_down=False),
    windows=((48, 32),),
)
