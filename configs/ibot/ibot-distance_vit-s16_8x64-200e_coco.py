# iBOT++ with visible patches weighted by their distance to the mask, 200 epochs: the weights of V-JEPA 2.1 on the loss
# of TIPSv2, no branch.
# Published: none.
# Not yet run here. As ibot-pp, about a quarter of 24 h on 8 x RTX 3090.
_base_ = ['./ibot-pp_vit-s16_8x64-200e_coco.py']
model = dict(visible_by_distance=True)
