# DenseCL-D on COCO train2017, 200 epochs: row RCC of the paper's Table 10.
# Published: VOC AP 55.9, OKNN top-1 70.0, CR inter 1.18, CR intra 0.12.
# Not yet run here. A quarter of 32 h on 8 x RTX 3090 (Table 8).
_base_ = ['./densecl_r50_8xb32-200e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
