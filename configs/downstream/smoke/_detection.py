# Detectors on images of at most 256 pixels, with another grid than in pre-training.
_base_ = './_base_.py'
train_dataloader = dict(
    dataset=dict(
        type='mmdet.CocoDataset',
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type='LoadImageFromFile', backend_args=None),
            dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='mmdet.Resize', scale=(256, 256), keep_ratio=True),
            dict(type='mmdet.RandomFlip', prob=0.5),
            dict(type='mmdet.PackDetInputs'),
        ],
    )
)
test_dataloader = dict(
    dataset=dict(
        type='mmdet.CocoDataset',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile', backend_args=None),
            dict(type='mmdet.Resize', scale=(256, 256), keep_ratio=True),
            dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
            ),
        ],
    )
)
test_evaluator = dict(_delete_=True, type='mmdet.CocoMetric', metric=['bbox', 'segm'])
