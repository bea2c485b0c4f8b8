# Smoke run of a segmentor on scenes of tools/dataset_tools/export_scenes.py: small pictures, 20 iterations.
smoke_root = 'data/scenes/'
smoke_metainfo = dict(
    classes=(
        'background', 'plain disc', 'striped triangle', 'checkered cross', 'dotted square', 'plain star',
        'striped ring', 'checkered disc', 'dotted triangle', 'plain cross', 'striped square', 'checkered star',
        'dotted ring'),
    palette=[[20 * i, 20 * i, 20 * i] for i in range(13)])
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
        type='BaseSegDataset',
        data_root=smoke_root,
        data_prefix=dict(img_path='train', seg_map_path='semantic/train'),
        img_suffix='.png',
        seg_map_suffix='.png',
        reduce_zero_label=False,
        metainfo=smoke_metainfo,
        pipeline=smoke_pipeline))
smoke_val_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_root=smoke_root,
        data_prefix=dict(img_path='val', seg_map_path='semantic/val'),
        img_suffix='.png',
        seg_map_suffix='.png',
        reduce_zero_label=False,
        metainfo=smoke_metainfo,
        pipeline=smoke_test_pipeline))
smoke_loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=20, val_interval=20)
smoke_schedule = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)]
smoke_hooks = dict(logger=dict(interval=5), checkpoint=dict(by_epoch=False, interval=5))
