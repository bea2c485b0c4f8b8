# PLRC-RCC with a ResNet-50 on COCO train2017, 800 epochs: RCC as an augmentation of the query view; no branch. The
# paper's Table 6 has this variant for other methods; for PLRC no numbers are published.
# Not yet run here. Hours are not published.
_base_ = ['./plrc_r50_8xb32-800e_coco.py', '../_base_/decoupling/rcc.py']
model = dict(data_preprocessor=dict(batch_stages=_base_.batch_stages))
