# Smoke run of a segmentor on crops of 128 x 128 pixels.
_base_ = './smoke.py'
smoke_train_dataloader = dict(
    dataset=dict(
        seg_map_suffix='.png',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomResize', scale=(512, 128), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(128, 128)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ]))
smoke_val_dataloader = dict(
    dataset=dict(
        seg_map_suffix='.png',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(512, 128), keep_ratio=True),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ]))
