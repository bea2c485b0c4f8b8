# PLRC-D with a ResNet-50 on COCO train2017, 800 epochs: PLRC with the de-coupling branch on its point projections. No
# numbers are published.
# Not yet run here. Hours are not published.
_base_ = ['./plrc_r50_8xb32-800e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
