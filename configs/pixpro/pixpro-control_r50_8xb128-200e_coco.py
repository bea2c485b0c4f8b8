# The control of PixPro-D on COCO train2017, 200 epochs: its branch with nothing mixed in (X^D = X). No numbers are
# published.
# Not yet run here. Hours are not published.
_base_ = ['./pixpro_r50_8xb128-200e_coco.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
