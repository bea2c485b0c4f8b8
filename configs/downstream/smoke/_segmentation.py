# Segmentors on crops of 128 x 128 pixels.
_base_ = './_base_.py'
train_dataloader = dict(
    dataset=dict(
        seg_map_suffix='.png',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmseg.LoadAnnotations'),
            dict(
                type='RandomResize',
                resize_type='mmseg.Resize',
                scale=(512, 128),
                ratio_range=(0.5, 2.0),
                keep_ratio=True,
            ),
            dict(type='mmseg.RandomCrop', crop_size=(128, 128)),
            dict(type='mmseg.RandomFlip', prob=0.5),
            dict(type='mmseg.PackSegInputs'),
        ],
    )
)
test_dataloader = dict(
    dataset=dict(
        seg_map_suffix='.png',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmseg.Resize', scale=(512, 128), keep_ratio=True),
            dict(type='mmseg.LoadAnnotations'),
            dict(type='mmseg.PackSegInputs'),
        ],
    )
)
test_evaluator = dict(_delete_=True, type='mmseg.IoUMetric', iou_metrics=['mIoU'])
