# DenseCL on COCO train2017, 800 epochs: the base row of the paper's Tables 1 and 3.
# Published: VOC AP 56.7 / 81.7 / 63.0, COCO box AP 38.5, mask AP 33.6 (C4), OKNN top-1 72.5, OKNN-D 41.5.
# Not yet run here. The paper's hardware: 29 h on 8 x RTX 3090 (Table 8).
_base_ = [
    '../_base_/models/densecl_r50.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/sgd_lr0.3_800e.py',
    '../_base_/default_runtime.py',
]
