# PLRC with a ResNet-50 on COCO train2017, 200 epochs, with DenseCL's recipe (lr 0.3). No numbers are published; PLRC's
# authors trained on ImageNet.
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/plrc_r50.py',
    '../_base_/datasets/coco_plrc.py',
    '../_base_/schedules/sgd_lr0.3_200e.py',
    '../_base_/default_runtime.py',
]
