# iBOT-D with ViT-L/16 on COCO train2017, 800 epochs, with the constants of the paper. Not published, and not run to the
# end here; docs/scaling.md gives its memory and communication.
_base_ = ['./ibot_vit-l16_8x64-800e_coco.py', '../_base_/decoupling/paper.py', '../_base_/decoupling/rcc_mim.py']
model = dict(decoupling=_base_.decoupling, mim_mask=_base_.mim_mask)
