# ReSim-D on the built-in scenes: `make demo ARGS='--method resim'`.
_base_ = ['./resim_resnet-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
