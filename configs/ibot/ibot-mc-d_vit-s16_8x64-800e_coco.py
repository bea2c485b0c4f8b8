# iBOT-D with multi-crop (2 + 4 views) on COCO train2017, 800 epochs: global views are decoupled, local ones are not.
# Published: none; the authors' code cannot run it.
# Not yet run here.
_base_ = ['./ibot-mc_vit-s16_8x64-800e_coco.py', '../_base_/decoupling/paper.py', '../_base_/decoupling/rcc_mim.py']
model = dict(decoupling=_base_.decoupling, mim_mask=_base_.mim_mask)
