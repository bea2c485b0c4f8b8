# The control of `make demo ARGS='--method paka'`: the branch of PaKA-D with nothing mixed in (X^D = X).
_base_ = ['./paka_vit-demo_scenes.py', '../_base_/decoupling/control.py']
model = dict(decoupling=_base_.decoupling)
