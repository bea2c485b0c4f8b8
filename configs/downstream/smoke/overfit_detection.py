# Training and test on the same eight built-in scenes, which transfer.py writes to the folder of the run.
_base_ = './scenes_detection.py'
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile', backend_args=None),
            dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
            dict(type='mmdet.PackDetInputs'),
        ]
    ),
)
test_dataloader = dict(
    dataset=dict(
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        pipeline=[
            dict(type='LoadImageFromFile', backend_args=None),
            dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
            dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
            ),
        ],
    )
)
test_evaluator = dict(ann_file='data/scenes/annotations/instances_train.json')
train_cfg = dict(max_iters=180)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.05, by_epoch=False, begin=20, end=180),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
auto_scale_lr = dict(base_batch_size=4)
