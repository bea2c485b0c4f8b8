# iBOT-D, continued from DINOv3 ViT-S/16 on COCO train2017.
# Published: none. Not yet run here.
_base_ = ['./ibot_vit-s16-dinov3_8x64-50e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
