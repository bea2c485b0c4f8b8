# DenseCL's recipe for COCO: lr 0.3 at a total batch of 256, cosine per epoch, no warm-up, weight decay on everything.
optim_wrapper = dict(
    type='PrecisionOptimWrapper', precision='bf16', optimizer=dict(type='SGD', lr=0.3, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=800, by_epoch=True, begin=0, end=800)]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=256)
