# PixPro-D with a ResNet-50 on COCO train2017, 800 epochs: the de-coupling branch on PixPro's own loss. No numbers are
# published.
# Not yet run here. Hours are not published.
_base_ = ['./pixpro_r50_8xb128-800e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
