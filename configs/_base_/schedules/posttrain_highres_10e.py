# The last phase of post-training, on larger views at a total batch of 128: 10 epochs at a fifth of the learning rates.
_base_ = './posttrain_50e.py'
optim_wrapper = dict(optimizer=dict(lr=2e-5))
param_scheduler = [dict(type='WarmupCosineLR', warmup=1, eta_min=0, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=128)
