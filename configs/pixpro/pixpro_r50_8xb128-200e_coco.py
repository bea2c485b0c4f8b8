# PixPro with a ResNet-50 on COCO train2017, 200 epochs. Its authors pre-train on ImageNet; no numbers are published.
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/pixpro_r50.py',
    '../_base_/datasets/coco_pixpro.py',
    '../_base_/schedules/pixpro_lars_200e.py',
    '../_base_/default_runtime.py',
]
