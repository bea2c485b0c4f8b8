# DenseCL-D on COCO train2017, 800 epochs: the paper's Tables 1 and 3.
# Published: VOC AP 57.2 / 82.2 / 63.7, COCO box AP 39.3, mask AP 34.2 (C4), OKNN top-1 74.5, OKNN-D 45.1.
# Not yet run here. The paper's hardware: 32 h on 8 x RTX 3090 (Table 8).
_base_ = ['./densecl_r50_8xb32-800e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
