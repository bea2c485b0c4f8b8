# Leopart-D from DINO's ViT-S/16 on COCO train2017, 50 epochs: the -D row of the paper's Table 7, eq. 18 and 19.
# Published: VOC12 linear 66.5, FCN 68.9, K=500 48.2; COCO-Stuff linear 53.2, K=500 45.3 (mIoU).
# Not yet run here. Hours are not published.
_base_ = ['./leopart_vit-s16_2xb32-50e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
