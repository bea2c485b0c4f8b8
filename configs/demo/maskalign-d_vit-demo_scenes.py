# MaskAlign-D on the built-in scenes: `make demo ARGS='--method maskalign'`.
_base_ = ['./maskalign_vit-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
