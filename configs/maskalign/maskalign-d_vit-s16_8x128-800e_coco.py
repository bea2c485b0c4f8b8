# MaskAlign-D on COCO train2017, 800 epochs: the -D row of the paper's main tables.
# Published: COCO box AP 46.7 / 66.4 / 50.5, mask AP 40.5 / 63.2 / 43.5, ADE20K mIoU 44.3, OKNN top-1 79.0, OKNN-D 55.2.
# Not yet run here. The paper's hardware: 13 h on 8 x RTX 3090 (Table 8).
_base_ = ['./maskalign_vit-s16_8x128-800e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
