# Leopart's recipe, by iteration, at a total batch of 64: lr 1e-5, ten times that for head and prototypes, by a cosine
# to 0 without warm-up; weight decay 0.04 -> 0.5. Float32, as the authors trained. Lengths that are not given follow
# train_cfg.max_epochs.
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='fp32',
    constructor='DecayGroupsConstructor',
    paramwise_cfg=dict(lr_mult=dict(neck=10)),
    optimizer=dict(type='AdamW', lr=1e-5, betas=(0.9, 0.999), weight_decay=0.04),
)
param_scheduler = [
    dict(type='WarmupCosineLR', warmup=0, eta_min=0.0, by_epoch=True, convert_to_iter_based=True),
    dict(type='mmpretrain.CosineAnnealingWeightDecay', eta_min=0.5, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=64)
