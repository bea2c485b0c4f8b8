# iBOT-D, continued from DINOv2 ViT-S/14 with registers on COCO train2017.
# Published: none. Not yet run here.
_base_ = ['./ibot_vit-s14-dinov2-reg_8x64-50e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
