# A detector on scenes of tools/dataset_tools/export_scenes.py.
_base_ = './smoke_detection.py'
smoke_root = 'data/scenes/'
smoke_metainfo = dict(
    classes=(
        'plain disc', 'striped triangle', 'checkered cross', 'dotted square', 'plain star', 'striped ring',
        'checkered disc', 'dotted triangle', 'plain cross', 'striped square', 'checkered star', 'dotted ring'))
smoke_train_dataloader = dict(
    dataset=dict(
        data_root=smoke_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        metainfo=smoke_metainfo))
smoke_val_dataloader = dict(
    dataset=dict(
        data_root=smoke_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        metainfo=smoke_metainfo))
smoke_evaluator = dict(ann_file=f'{smoke_root}annotations/instances_val.json')
