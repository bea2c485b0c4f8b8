# The control of DenseCL-D on photographs: the branch with nothing mixed in (X^D = X).
_base_ = ['./densecl_r18_photographs.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
