# MaskAlign on COCO train2017, 200 epochs: a cheap first baseline.
# Published: none for 200 epochs on COCO.
# Not yet run here. A quarter of 10 h on 8 x RTX 3090 (Table 8).
_base_ = [
    '../_base_/models/maskalign_vit-s16.py',
    '../_base_/datasets/coco_maskalign.py',
    '../_base_/schedules/adamw_maskalign_200e.py',
    '../_base_/default_runtime.py',
]
