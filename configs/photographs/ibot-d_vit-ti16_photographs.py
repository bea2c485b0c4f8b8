# iBOT-D on photographs; the base is described in `ibot_vit-ti16_photographs.py`.
_base_ = ['./ibot_vit-ti16_photographs.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
