# MaskAlign-D on COCO train2017, 200 epochs.
# Published: none for 200 epochs on COCO.
# Not yet run here. A quarter of 13 h on 8 x RTX 3090 (Table 8).
_base_ = ['./maskalign_vit-s16_8x128-200e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
