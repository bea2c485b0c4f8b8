# iBOT with ViT-g/14 on COCO train2017, 800 epochs: the recipe of ViT-S/16 with half of its learning rate, a higher
# drop path rate, recomputed blocks and an optimizer state that is divided among the GPUs. Not published, and not run to
# the end here.
_base_ = [
    '../_base_/models/ibot_vit-g14.py',
    '../_base_/datasets/coco_ibot.py',
    '../_base_/schedules/adamw_ibot_large_800e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=32)
# The measures place regions on the grid of the patches.
test_dataloader = dict(dataset=dict(cell=14))
