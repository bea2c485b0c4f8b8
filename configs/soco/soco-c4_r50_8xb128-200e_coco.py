# SoCo on C4 features, COCO train2017, 200 epochs.
# Published: none.
# Not yet run here. A quarter of 27 h on 8 x RTX 3090 (Table 8).
_base_ = [
    '../_base_/models/soco_r50-c4.py',
    '../_base_/datasets/coco_soco_c4.py',
    '../_base_/schedules/soco_lars_200e.py',
    '../_base_/default_runtime.py',
]
