# iBOT-D with Gram anchoring to the published backbone, continued from DINOv2 ViT-S/14 with registers on COCO.
# Published: none. Not yet run here.
_base_ = ['./ibot-d_vit-s14-dinov2-reg_8x64-50e_coco.py', '../_base_/posttraining/gram.py']
model = dict(terms=_base_.terms)
