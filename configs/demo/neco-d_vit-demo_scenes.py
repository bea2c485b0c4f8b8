# NeCo-D on the built-in scenes: `make demo ARGS='--method neco'`.
_base_ = ['./neco_vit-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
