# SoCo's recipe for COCO over 200 epochs.
_base_ = './soco_lars_800e.py'
train_cfg = dict(max_epochs=200)
