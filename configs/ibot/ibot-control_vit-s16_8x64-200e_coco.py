# The control of iBOT-D, 200 epochs: the branch with nothing mixed in (X^D = X), that is, its loss on visible tokens
# without a foreign background.
# Published: none; the paper lacks it.
# Not yet run here. A quarter of 27 h on 8 x RTX 3090, as iBOT-D.
_base_ = ['./ibot_vit-s16_8x64-200e_coco.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
