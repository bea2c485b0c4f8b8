# PLRC-RCC on COCO train2017, 800 epochs: RCC as an augmentation of the query view, no branch.
# Published: none; the paper's Table 6 has this form of other methods.
# Not yet run here. Hours are not published.
_base_ = ['./plrc_r50_8xb32-800e_coco.py', '../_base_/decoupling/rcc.py']
model = dict(data_preprocessor=dict(batch_stages=_base_.batch_stages))
