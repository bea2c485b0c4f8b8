# NeCo-D from DINO's ViT-S/16 on COCO train2017, 50 epochs: NeCo plus the de-coupling branch, which neither paper has.
# Published: none.
# Not yet run here.
_base_ = ['./neco_vit-s16_1xb45-50e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
