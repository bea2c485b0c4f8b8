# The control of `make demo ARGS='--method pixpro'`: the branch of PixPro-D with nothing mixed in (X^D = X).
_base_ = ['./pixpro_resnet-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
