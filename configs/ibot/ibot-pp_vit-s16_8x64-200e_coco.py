# The other control of iBOT-D, 200 epochs: iBOT++ (TIPSv2), the patch loss on visible tokens too, no branch.
# Published: none on COCO.
# Not yet run here. About a quarter of 24 h on 8 x RTX 3090: the head sees all patches instead of the masked ones.
_base_ = ['./ibot_vit-s16_8x64-200e_coco.py']
model = dict(visible_weight=1.0)
