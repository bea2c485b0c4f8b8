# Smoke run of a segmentor on 128 + 128 real images with index images of COCO's panoptic ids (0 = unlabelled), which
# stand as their own names: small pictures, 20 iterations, nothing to report.
smoke_root = 'data/coco128/'
smoke_metainfo = dict(classes=[str(i) for i in range(1, 201)], palette=[[i, i, i] for i in range(1, 201)])
smoke_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(512, 128), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(128, 128)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
smoke_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(512, 128), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
smoke_train_dataloader = dict(
    _delete_=True,
    batch_size=2,
    num_workers=1,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmdecouple.MappedImages',
        data_root=smoke_root,
        data_prefix=dict(img_path='train2017', seg_map_path='semantic/train2017'),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        reduce_zero_label=True,
        metainfo=smoke_metainfo,
        pipeline=smoke_pipeline))
smoke_val_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdecouple.MappedImages',
        data_root=smoke_root,
        data_prefix=dict(img_path='val2017', seg_map_path='semantic/val2017'),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        reduce_zero_label=True,
        metainfo=smoke_metainfo,
        pipeline=smoke_test_pipeline))
smoke_loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=20, val_interval=20)
smoke_schedule = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)]
smoke_hooks = dict(logger=dict(interval=5), checkpoint=dict(by_epoch=False, interval=5))
