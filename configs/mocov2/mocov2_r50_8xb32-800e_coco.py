# MoCo v2 on COCO train2017, 800 epochs, by DenseCL's recipe (lr 0.3): the first row of the paper's Table 1.
# Published: VOC AP 54.6 / 81.0 / 60.4, COCO box AP 37.8, mask AP 32.9 (C4).
# Not yet run here. Hours are not published; DenseCL's README reports its own dense head at under 1 % of the time.
_base_ = [
    '../_base_/models/mocov2_r50.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/sgd_lr0.3_800e.py',
    '../_base_/default_runtime.py',
]
