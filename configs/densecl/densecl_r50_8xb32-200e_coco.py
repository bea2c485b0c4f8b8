_base_ = [
    '../_base_/models/densecl_r50.py',
    '../_base_/datasets/coco_two_views.py',
    '../_base_/schedules/sgd_lr0.3_200e.py',
    '../_base_/default_runtime.py',
]
