# SoCo-RCC on C4 features, COCO train2017, 800 epochs: RCC instead of SoCo's cutout, no branch; the paper's Table 6.
# Published: COCO box AP 38.9, mask AP 33.9, OKNN top-1 74.4, CR inter 1.10 (SoCo: 1.15).
# Not yet run here. As SoCo: 27 h on 8 x RTX 3090.
_base_ = ['./soco-c4_r50_8xb128-800e_coco.py', '../_base_/decoupling/rcc_proposals.py']
model = dict(data_preprocessor=dict(batch_stages=_base_.batch_stages))
