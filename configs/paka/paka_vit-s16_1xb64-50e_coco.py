# PaKA from DINO's ViT-S/16 on COCO train2017, 50 epochs, with the schedule of Leopart, as that of the paper is not
# known here.
# Published: numbers of the paper are for its own schedule and networks; none is reproduced by this config.
# Not yet run here. The authors state 14 hours on one GPU.
_base_ = [
    '../_base_/models/paka_vit-s16.py',
    '../_base_/datasets/coco_paka.py',
    '../_base_/schedules/adamw_paka_50e.py',
    '../_base_/default_runtime.py',
]
