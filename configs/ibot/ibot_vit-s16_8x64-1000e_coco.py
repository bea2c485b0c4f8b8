# iBOT on COCO train2017, 1000 epochs: as many views as in 800 epochs of the released iBOT-D, which decouples twice as
# many views as the paper states.
# Published: none.
# Not yet run here. By epochs, 30 h on 8 x RTX 3090.
_base_ = ['./ibot_vit-s16_8x64-800e_coco.py']
train_cfg = dict(max_epochs=1000)
