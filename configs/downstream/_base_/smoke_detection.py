# Smoke run of a detector. Pictures are no larger than 256 x 256, another grid than that of pre-training.
_base_ = './smoke.py'
smoke_train_dataloader = dict(
    dataset=dict(
        type='CocoDataset',
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[
            dict(type='LoadImageFromFile', backend_args=None),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='Resize', scale=(256, 256), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ]))
smoke_val_dataloader = dict(
    dataset=dict(
        type='CocoDataset',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile', backend_args=None),
            dict(type='Resize', scale=(256, 256), keep_ratio=True),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ]))
smoke_evaluator = dict(_delete_=True, type='CocoMetric', metric=['bbox', 'segm'])
# Few regions: a CPU takes seconds, not minutes, for an iteration or an image.
smoke_train_rpn = dict(max_per_img=100)
smoke_train_sampler = dict(num=64)
smoke_test_cfg = dict(rpn=dict(max_per_img=20), rcnn=dict(max_per_img=20))
