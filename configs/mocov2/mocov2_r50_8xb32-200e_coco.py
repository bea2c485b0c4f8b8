# MoCo v2 on COCO train2017, 200 epochs, by DenseCL's recipe: a cheap first baseline.
# Published: none for 200 epochs on COCO.
# Not yet run here.
_base_ = [
    '../_base_/models/mocov2_r50.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/sgd_lr0.3_200e.py',
    '../_base_/default_runtime.py',
]
