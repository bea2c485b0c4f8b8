# PixPro-RCC with a ResNet-50 on COCO train2017, 800 epochs: RCC cuts the first view, which student and teacher both
# see; no branch. No numbers are published.
# Not yet run here. Hours are not published.
_base_ = ['./pixpro_r50_8xb128-800e_coco.py', '../_base_/decoupling/rcc.py']
model = dict(data_preprocessor=dict(batch_stages=_base_.batch_stages))
