# The control of iBOT-D on photographs: the branch with nothing mixed in (X^D = X).
_base_ = ['./ibot_vit-ti16_photographs.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
