# iBOT-D with Gram anchoring to the published backbone, continued from DINOv3 ViT-S/16 on COCO.
# Published: none. Not yet run here.
_base_ = ['./ibot-d_vit-s16-dinov3_8x64-50e_coco.py', '../_base_/posttraining/gram.py']
model = dict(terms=_base_.terms)
