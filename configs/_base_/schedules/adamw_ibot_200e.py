# iBOT's recipe for COCO over 200 epochs, as in the paper's ablations.
_base_ = './adamw_ibot_800e.py'
train_cfg = dict(max_epochs=200)
