# Smoke run of a detector on 100 + 100 real images in COCO's layout: small pictures, 20 iterations, nothing to report.
smoke_root = 'data/coco128/'
smoke_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
smoke_test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
smoke_train_dataloader = dict(
    _delete_=True,
    batch_size=2,
    num_workers=1,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=smoke_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=smoke_pipeline))
smoke_val_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=smoke_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=smoke_test_pipeline))
smoke_evaluator = dict(
    _delete_=True,
    type='CocoMetric',
    ann_file=f'{smoke_root}annotations/instances_val2017.json',
    metric=['bbox', 'segm'])
smoke_loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=20, val_interval=20)
smoke_schedule = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)]
smoke_hooks = dict(logger=dict(interval=5), checkpoint=dict(by_epoch=False, interval=5))
