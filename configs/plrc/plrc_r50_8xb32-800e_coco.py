# PLRC with a ResNet-50 on COCO train2017, 800 epochs, with DenseCL's recipe (lr 0.3): a row of the paper's Table 1.
# Published: VOC AP 57.1 / 82.1 / 63.8, COCO box AP 39.8, mask AP 35.9. The table states C4, but the gap of 3.9 between
# box and mask AP is typical of FPN (4.8 to 5.5 with C4): the COCO numbers are probably not C4 numbers and not suitable
# as a target for this config. The paper's authors did not retrain this row.
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/plrc_r50.py',
    '../_base_/datasets/coco_plrc.py',
    '../_base_/schedules/sgd_lr0.3_800e.py',
    '../_base_/default_runtime.py',
]
