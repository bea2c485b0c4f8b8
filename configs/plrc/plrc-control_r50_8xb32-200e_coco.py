# The control of PLRC-D, 200 epochs: the branch with nothing mixed in (X^D = X), that is its loss on the foreground
# without a foreign background.
# Published: none; the paper lacks it.
# Not yet run here. Hours are not published.
_base_ = ['./plrc_r50_8xb32-200e_coco.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
