# ReSim-FPN on COCO train2017, 800 epochs, with DenseCL's recipe (lr 0.3): the row ReSim of the paper's Table 1, which
# its authors trained. They do not state the variant; this is the only one whose code was released.
# Published: VOC AP 56.6 / 81.7 / 63.5, COCO box AP 38.3, mask AP 33.5 (C4).
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/resim-fpn_r50.py',
    '../_base_/datasets/coco_resim.py',
    '../_base_/schedules/sgd_lr0.3_800e.py',
    '../_base_/default_runtime.py',
]
