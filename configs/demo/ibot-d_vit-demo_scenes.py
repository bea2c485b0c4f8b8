# iBOT-D on the built-in scenes: `make demo ARGS='--method ibot'`.
_base_ = ['./ibot_vit-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
