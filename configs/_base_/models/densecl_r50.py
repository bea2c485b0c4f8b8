_base_ = ['./mocov2_r50.py']
model = dict(type='DenseCL', neck=dict(type='mmpretrain.DenseCLNeck'), dense_weight=0.5)
