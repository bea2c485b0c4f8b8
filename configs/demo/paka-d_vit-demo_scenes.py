# PaKA-D on the built-in scenes: `make demo ARGS='--method paka'`.
_base_ = ['./paka_vit-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
