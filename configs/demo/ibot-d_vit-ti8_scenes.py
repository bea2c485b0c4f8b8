# iBOT-D on the built-in scenes with a full ViT-Ti/8; see ibot_vit-ti8_scenes.py. Not run to its end here.
_base_ = ['./ibot_vit-ti8_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
