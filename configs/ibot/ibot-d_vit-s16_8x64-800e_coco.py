# iBOT-D on COCO train2017, 800 epochs, with the constants of the paper: the -D row of its main tables.
# Published: COCO box AP 45.1 / 64.3 / 48.7, mask AP 39.1 / 61.2 / 41.7, ADE20K mIoU 41.6, OKNN top-1 78.7, OKNN-D 52.1.
# The weights behind these numbers come from the code that ..._release.py follows.
# Not yet run here. The paper's hardware: 27 h on 8 x RTX 3090 (Table 8).
_base_ = ['./ibot_vit-s16_8x64-800e_coco.py', '../_base_/decoupling/paper.py', '../_base_/decoupling/rcc_mim.py']
model = dict(decoupling=_base_.decoupling, mim_mask=_base_.mim_mask)
