# iBOT on COCO train2017, 900 epochs: as many views as the paper counts for 800 epochs of iBOT-D (Table 9).
# Published: COCO box AP 42.7 / 61.9 / 45.8, mask AP 37.2 / 58.6 / 39.6.
# Not yet run here. By epochs, 27 h on 8 x RTX 3090.
_base_ = ['./ibot_vit-s16_8x64-800e_coco.py']
train_cfg = dict(max_epochs=900)
