# Leopart from DINO's ViT-S/16 on COCO train2017, 50 epochs: the base row of the paper's Table 7.
# Published: VOC12 linear 65.0, FCN 67.2, K=500 45.2; COCO-Stuff linear 52.5, K=500 44.4 (mIoU).
# Not yet run here. Hours are not published; the authors used two GPUs.
_base_ = [
    '../_base_/models/leopart_vit-s16.py',
    '../_base_/datasets/coco_leopart.py',
    '../_base_/schedules/adamw_leopart_50e.py',
    '../_base_/default_runtime.py',
]
