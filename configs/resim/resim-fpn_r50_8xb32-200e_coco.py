# ReSim-FPN on COCO train2017, 200 epochs, with DenseCL's recipe (lr 0.3).
# Published: none for 200 epochs on COCO.
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/resim-fpn_r50.py',
    '../_base_/datasets/coco_resim.py',
    '../_base_/schedules/sgd_lr0.3_200e.py',
    '../_base_/default_runtime.py',
]
