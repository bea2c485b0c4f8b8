# iBOT with multi-crop (2 + 4 views) on COCO train2017, 800 epochs: the paper's Table 9.
# Published: COCO box AP 43.7 / 62.8 / 47.0, mask AP 38.1 / 59.6 / 40.7.
# Not yet run here. Hours are not published.
# The paper does not give the scales of the crops; this config has the official ones of iBOT's ViT-S.
_base_ = [
    '../_base_/models/ibot_vit-s16.py',
    '../_base_/datasets/coco_ibot_multicrop.py',
    '../_base_/schedules/adamw_ibot_800e.py',
    '../_base_/default_runtime.py',
]
model = dict(local_views=4)
