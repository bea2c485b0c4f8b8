# iBOT's recipe for COCO, by iteration: lr 2e-3 at a total batch of 512 (1e-3 per 256) with 10 epochs of warm-up, weight
# decay 0.04 -> 0.4, each tensor's gradient clipped at 3.0. Lengths that are not given follow train_cfg.max_epochs.
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), weight_decay=0.04),
    clip_grad=dict(type='tensor', max_norm=3.0),
)
param_scheduler = [
    dict(type='WarmupCosineLR', warmup=10, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True),
    dict(type='mmpretrain.CosineAnnealingWeightDecay', eta_min=0.4, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=512)
