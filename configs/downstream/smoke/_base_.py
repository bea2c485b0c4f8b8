# Common settings of all smoke runs: few iterations on small images, and one test at the end.
# mmdecouple/downstream/smoke.py applies these files as overlays to the config of a protocol; none of them is a complete
# config.
train_dataloader = dict(_delete_=True, batch_size=2, num_workers=1, sampler=dict(type='InfiniteSampler', shuffle=True))
test_dataloader = dict(_delete_=True, batch_size=1, num_workers=1, sampler=dict(type='DefaultSampler', shuffle=False))
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=20)
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)]
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(by_epoch=False, interval=5))
log_processor = dict(by_epoch=False)
val_dataloader = None
val_evaluator = None
val_cfg = None
auto_scale_lr = dict(base_batch_size=2)
