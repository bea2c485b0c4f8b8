# DenseCL on COCO train2017, 200 epochs: the base row of the paper's ablations (Tables 10 and 11).
# Published: VOC AP 55.0, OKNN top-1 67.5, CR inter 1.64, CR intra 0.31.
# Not yet run here. A quarter of 29 h on 8 x RTX 3090 (Table 8).
_base_ = [
    '../_base_/models/densecl_r50.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/sgd_lr0.3_200e.py',
    '../_base_/default_runtime.py',
]
