# MaskAlign-D on the built-in scenes with full ViT-Ti/8s; see maskalign_vit-ti8_scenes.py. Not run to its end here.
_base_ = ['./maskalign_vit-ti8_scenes.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
