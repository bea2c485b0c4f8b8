# COCO: the images of train2017 for training, and objects for measurements. Another file in this folder adds the views
# and the batch size.
# For a folder of your own:
#   _base_ = 'mmdecouple::densecl/densecl-d_r50_8xb32-200e_coco.py'
#   train_dataloader = dict(dataset=dict(data_root='path/to/images', ann_file=None, img_prefix=''))
train_dataloader = dict(
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='EpochSampler', shuffle=True),
    dataset=dict(
        type='ImageDataset',
        data_root='data/coco',
        ann_file='annotations/instances_train2017.json',
        img_prefix='train2017',
    ),
)

# `mim test` measures objects of val2017 against a bank of train2017.
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ProbeDataset',
        objects=dict(
            type='CocoObjects', ann_file='data/coco/annotations/instances_val2017.json', img_prefix='data/coco/val2017'
        ),
        bank=dict(
            type='CocoObjects',
            ann_file='data/coco/annotations/instances_train2017.json',
            img_prefix='data/coco/train2017',
        ),
        measures=[
            dict(type='OKNN'),
            dict(type='InterCouplingRatio'),
            dict(type='IntraCouplingRatio'),
            dict(type='ContextShift'),
            dict(type='LSC'),
        ],
    ),
)
test_evaluator = dict(type='CouplingMetric')
test_cfg = dict()
