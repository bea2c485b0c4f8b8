# The control of `make demo`: the branch of DenseCL-D with nothing mixed in (X^D = X).
_base_ = ['./densecl_resnet-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
