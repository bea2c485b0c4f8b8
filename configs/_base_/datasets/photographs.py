# Photographs in a folder, without annotations, for training; objects of coco128 for measurements. Another file in this
# folder adds the views.
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='EpochSampler', shuffle=True),
    dataset=dict(type='ImageDataset', data_root='data/photos', ann_file=None, img_prefix=''),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ProbeDataset',
        objects=dict(
            type='CocoObjects',
            ann_file='data/coco128/annotations/instances_val2017.json',
            img_prefix='data/coco128/val2017',
        ),
        bank=dict(
            type='CocoObjects',
            ann_file='data/coco128/annotations/instances_train2017.json',
            img_prefix='data/coco128/train2017',
        ),
        measures=[dict(type='ContextShift'), dict(type='IntraCouplingRatio'), dict(type='LSC')],
    ),
)
test_evaluator = dict(type='CouplingMetric')
test_cfg = dict()
