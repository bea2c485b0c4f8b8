# PixPro's recipe for ImageNet over 200 epochs.
_base_ = './pixpro_lars_800e.py'
train_cfg = dict(max_epochs=200)
