# ReSim-C4 on COCO train2017, 800 epochs, with DenseCL's recipe (lr 0.3).
# Published: none of this variant.
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/resim-c4_r50.py',
    '../_base_/datasets/coco_resim.py',
    '../_base_/schedules/sgd_lr0.3_800e.py',
    '../_base_/default_runtime.py',
]
