# PLRC-D on the built-in scenes: `make demo ARGS='--method plrc'`.
_base_ = ['./plrc_resnet-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
