# MaskAlign's recipe for COCO over 200 epochs, as in ablations.
_base_ = './adamw_maskalign_800e.py'
train_cfg = dict(max_epochs=200)
