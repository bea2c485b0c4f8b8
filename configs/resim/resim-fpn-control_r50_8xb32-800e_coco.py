# The control for ReSim-FPN-D: the same loss on the same foreground positions, but nothing is mixed in (X^D = X).
# Published: none. Not yet run here.
_base_ = ['./resim-fpn_r50_8xb32-800e_coco.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
