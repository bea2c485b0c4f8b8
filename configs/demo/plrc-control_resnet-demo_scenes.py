# The control of `make demo ARGS='--method plrc'`: the branch of PLRC-D with nothing mixed in (X^D = X).
_base_ = ['./plrc_resnet-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
