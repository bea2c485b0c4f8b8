# SoCo's recipe for COCO, by iteration: LARS with a peak lr of 8 at a total batch of 1024 (2 per 256), 10 epochs of
# warm-up from a hundredth of it, then a cosine.
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    optimizer=dict(type='SoCoLARS', lr=8.0, momentum=0.9, weight_decay=1e-5),
)
param_scheduler = [
    dict(
        type='WarmupCosineLR',
        warmup=10,
        start=0.01,
        eta_min=1e-6,
        warmup_endpoint=False,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=1024)
