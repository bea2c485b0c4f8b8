# iBOT-RCC on COCO train2017, 800 epochs: RCC instead of block masks, no branch; the paper's Table 6.
# Published: COCO box AP 43.1, mask AP 37.6, OKNN top-1 76.8, CR inter 1.35 (iBOT: 1.43).
# Not yet run here. As iBOT: 24 h on 8 x RTX 3090.
_base_ = ['./ibot_vit-s16_8x64-800e_coco.py', '../_base_/decoupling/rcc_mim.py']
model = dict(mim_mask=_base_.mim_mask)
