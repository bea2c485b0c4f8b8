# UniRefiner on the ViT-S/16 of DINO, 5 % of COCO train2017, two epochs.
# Published: none for this network; the authors refine ViTs from 0.4 to 8 billion parameters.
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/unirefiner_vit-s16.py',
    '../_base_/datasets/coco_unirefiner.py',
    '../_base_/schedules/adamw_unirefiner_2e.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(checkpoint=dict(interval=1))
