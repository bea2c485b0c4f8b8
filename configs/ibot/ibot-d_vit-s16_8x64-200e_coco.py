# iBOT-D on COCO train2017, 200 epochs: row RCC of the paper's Table 4. As in all ablations, masked image modeling uses
# block masks.
# Published: COCO box AP 42.0, OKNN top-1 74.1, CR inter 1.16, CR intra 0.04.
# Not yet run here. A quarter of 27 h on 8 x RTX 3090 (Table 8).
_base_ = ['./ibot_vit-s16_8x64-200e_coco.py', '../_base_/decoupling/paper.py']
model = dict(decoupling=_base_.decoupling)
