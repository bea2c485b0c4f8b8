# A detector on 128 + 128 real images in COCO's layout.
_base_ = './smoke_detection.py'
smoke_root = 'data/coco128/'
smoke_train_dataloader = dict(
    dataset=dict(
        data_root=smoke_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/')))
smoke_val_dataloader = dict(
    dataset=dict(
        data_root=smoke_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/')))
smoke_evaluator = dict(ann_file=f'{smoke_root}annotations/instances_val2017.json')
