# MaskAlign's recipe for COCO, by iteration: lr 1.2e-3 at a total batch of 1024 (3e-4 per 256) with 40 epochs of
# warm-up, constant weight decay except on the level weights, no clipping.
# Lengths that are not given follow train_cfg.max_epochs.
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    paramwise_cfg=dict(free=['neck.weights']),
    optimizer=dict(type='AdamW', lr=1.2e-3, betas=(0.9, 0.95), weight_decay=0.05),
)
param_scheduler = [
    dict(
        type='WarmupCosineLR', warmup=40, eta_min=1e-5, warmup_endpoint=False, by_epoch=True, convert_to_iter_based=True
    )
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=1024)
