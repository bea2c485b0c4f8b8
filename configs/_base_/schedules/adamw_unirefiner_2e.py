# UniRefiner's recipe: lr 1e-4 at a total batch of 16, constant, for two epochs; weight decay 0.1.
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
)
param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=True)]
train_cfg = dict(max_epochs=2)
auto_scale_lr = dict(base_batch_size=16)
