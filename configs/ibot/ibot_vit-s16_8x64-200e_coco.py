# iBOT on COCO train2017, 200 epochs: the base row of the paper's ablations (Tables 4 and 5).
# Published: COCO box AP 38.7, OKNN top-1 69.9, CR inter 1.80, CR intra 0.17.
# Not yet run here. A quarter of 24 h on 8 x RTX 3090 (Table 8).
_base_ = [
    '../_base_/models/ibot_vit-s16.py',
    '../_base_/datasets/coco_ibot.py',
    '../_base_/schedules/adamw_ibot_200e.py',
    '../_base_/default_runtime.py',
]
