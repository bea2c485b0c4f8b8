# iBOT with ViT-L/16 on COCO train2017, 800 epochs: the recipe of ViT-S/16 with half of its learning rate, a higher
# drop path rate, recomputed blocks and an optimizer state that is divided among the GPUs. Not published, and not run to
# the end here.
_base_ = [
    '../_base_/models/ibot_vit-l16.py',
    '../_base_/datasets/coco_ibot.py',
    '../_base_/schedules/adamw_ibot_large_800e.py',
    '../_base_/default_runtime.py',
]
