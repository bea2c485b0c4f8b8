# The control of PLRC-D on COCO train2017, 200 epochs: its branch with nothing mixed in (X^D = X). No numbers are
# published.
# Not yet run here. Hours are not published.
_base_ = ['./plrc_r50_8xb32-200e_coco.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
