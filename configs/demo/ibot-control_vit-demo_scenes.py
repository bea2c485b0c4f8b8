# The control of `make demo ARGS='--method ibot'`: the branch of iBOT-D with nothing mixed in (X^D = X).
_base_ = ['./ibot_vit-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
