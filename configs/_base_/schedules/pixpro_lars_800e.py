# PixPro's recipe for ImageNet over 800 epochs, by iteration: LARS with a peak lr of 4 at a total batch of 1024 (1 per
# 256), 5 epochs of warm-up from a hundredth of it, then a cosine.
_base_ = './soco_lars_800e.py'
optim_wrapper = dict(optimizer=dict(lr=4.0))
param_scheduler = [
    dict(
        type='WarmupCosineLR',
        warmup=5,
        start=0.01,
        eta_min=1e-6,
        warmup_endpoint=False,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
