# What every smoke run has in common: 20 iterations on small pictures, nothing to report.
smoke_train_dataloader = dict(
    _delete_=True, batch_size=2, num_workers=1, sampler=dict(type='InfiniteSampler', shuffle=True))
smoke_val_dataloader = dict(
    _delete_=True, batch_size=1, num_workers=1, sampler=dict(type='DefaultSampler', shuffle=False))
smoke_loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=20, val_interval=20)
smoke_schedule = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)]
smoke_hooks = dict(logger=dict(interval=5), checkpoint=dict(by_epoch=False, interval=5))
