# The control of `make demo ARGS='--method resim'`: the branch of ReSim-D with nothing mixed in (X^D = X).
_base_ = ['./resim_resnet-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
