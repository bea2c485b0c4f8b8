# 128 real images in the format of COCO for training, and 32 others for the test.
_base_ = './_detection.py'
train_dataloader = dict(
    dataset=dict(
        data_root='data/coco128/', ann_file='annotations/instances_train2017.json', data_prefix=dict(img='train2017/')
    )
)
test_dataloader = dict(
    dataset=dict(
        data_root='data/coco128/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        indices=32,
    )
)
test_evaluator = dict(ann_file='data/coco128/annotations/instances_val2017.json')
