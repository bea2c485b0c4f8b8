# Scenes that `mmdecouple scenes` writes.
_base_ = './_detection.py'
names = dict(
    classes=(
        'plain disc',
        'striped triangle',
        'checkered cross',
        'dotted square',
        'plain star',
        'striped ring',
        'checkered disc',
        'dotted triangle',
        'plain cross',
        'striped square',
        'checkered star',
        'dotted ring',
    )
)
train_dataloader = dict(
    dataset=dict(
        data_root='data/scenes/',
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        metainfo=names,
    )
)
test_dataloader = dict(
    dataset=dict(
        data_root='data/scenes/',
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        metainfo=names,
        indices=32,
    )
)
test_evaluator = dict(ann_file='data/scenes/annotations/instances_val.json')
