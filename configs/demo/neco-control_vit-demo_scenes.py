# The control of `make demo ARGS='--method neco'`: the branch of NeCo-D with nothing mixed in (X^D = X).
_base_ = ['./neco_vit-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
