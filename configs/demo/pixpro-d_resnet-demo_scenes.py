# PixPro-D on the built-in scenes: `make demo ARGS='--method pixpro'`.
_base_ = ['./pixpro_resnet-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
