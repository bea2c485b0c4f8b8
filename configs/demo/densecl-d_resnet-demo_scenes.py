# DenseCL-D on the built-in scenes: `make demo`.
_base_ = ['./densecl_resnet-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
