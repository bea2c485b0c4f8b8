# SoCo-D on C4 features, COCO train2017, 200 epochs.
# Published: none.
# Not yet run here. A quarter of 30 h on 8 x RTX 3090 (Table 8).
_base_ = ['./soco-c4_r50_8xb128-200e_coco.py', '../_base_/decoupling/paper_proposals.py']
model = dict(decoupling=_base_.decoupling, data_preprocessor=dict(batch_stages=_base_.batch_stages))
