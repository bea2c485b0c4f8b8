# MaskAlign's recipe for COCO over 200 epochs, as in ablations: the authors use 20 epochs of warm-up for this length.
_base_ = './adamw_maskalign_800e.py'
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup=20, eta_min=1e-5, warmup_endpoint=False, by_epoch=True, convert_to_iter_based=True
    )
]
train_cfg = dict(max_epochs=200)
