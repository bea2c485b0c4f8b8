# SoCo-D on C4 features, COCO train2017, 800 epochs: the -D row of the paper's Tables 1 and 3, eq. 17.
# Published: VOC AP 57.8 / 82.5 / 64.4, COCO box AP 40.3 / 60.1 / 44.0, mask AP 35.1 / 56.9 / 37.6, OKNN top-1 75.8,
# OKNN-D 47.8.
# Not yet run here. The paper's hardware: 30 h on 8 x RTX 3090 (Table 8).
_base_ = ['./soco-c4_r50_8xb128-800e_coco.py', '../_base_/decoupling/paper_proposals.py']
model = dict(decoupling=_base_.decoupling, data_preprocessor=dict(batch_stages=_base_.batch_stages))
