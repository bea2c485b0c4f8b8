# SoCo on C4 features, COCO train2017, 800 epochs: the base row of the paper's Tables 1 and 3.
# Published: VOC AP 56.8 / 81.7 / 63.5, COCO box AP 38.5 / 57.9 / 41.5, mask AP 33.4 / 54.6 / 35.4, OKNN top-1 73.5,
# OKNN-D 43.7, CR inter 1.15.
# Not yet run here. The paper's hardware: 27 h on 8 x RTX 3090 (Table 8).
_base_ = [
    '../_base_/models/soco_r50-c4.py',
    '../_base_/datasets/coco_soco_c4.py',
    '../_base_/schedules/soco_lars_800e.py',
    '../_base_/default_runtime.py',
]
