# PixPro with the instance branch on COCO train2017, 800 epochs. Its authors pre-train on ImageNet and released neither
# script nor weights of this form: the weight of the branch, 1, is ours. No numbers are published.
# Not yet run here. Hours are not published.
_base_ = ['./pixpro_r50_8xb128-800e_coco.py']
model = dict(
    neck=dict(instance=True),
    instance_predictor=dict(type='PixelMLP', in_channels=256, hidden_channels=4096, out_channels=256),
    instance_weight=1.0,
)
