# Post-training in two phases, by iteration, at a total batch of 512. In the first 5 epochs the backbone is frozen
# (`model.frozen_backbone_epochs=5`, the `end` of the first schedule); then the learning rate warms up again, for all.
# The learning rate of heads is 10 times the base, that of the backbone's last block 0.9 times, and it falls by 0.9 from
# block to block towards the input. All end at 0, as a common `eta_min` would undo these factors. The values have not
# been tuned.
optim_wrapper = dict(
    type='PrecisionOptimWrapper',
    precision='bf16',
    constructor='DecayGroupsConstructor',
    paramwise_cfg=dict(layer_decay=0.9, lr_mult=dict(neck=10)),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.04),
    clip_grad=dict(type='tensor', max_norm=3.0),
)
param_scheduler = [
    dict(type='WarmupCosineLR', warmup=1, end=5, eta_min=0, by_epoch=True, convert_to_iter_based=True),
    dict(type='WarmupCosineLR', warmup=5, begin=5, eta_min=0, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=512)
