# UniRefiner-D on the built-in scenes.
_base_ = ['./unirefiner_vit-demo_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
