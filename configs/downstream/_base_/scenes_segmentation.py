# A segmentor on scenes of tools/dataset_tools/export_scenes.py.
_base_ = './smoke_segmentation.py'
smoke_dataset = dict(
    type='BaseSegDataset',
    data_root='data/scenes/',
    img_suffix='.png',
    reduce_zero_label=False,
    metainfo=dict(
        classes=(
            'background', 'plain disc', 'striped triangle', 'checkered cross', 'dotted square', 'plain star',
            'striped ring', 'checkered disc', 'dotted triangle', 'plain cross', 'striped square', 'checkered star',
            'dotted ring'),
        palette=[[20 * i, 20 * i, 20 * i] for i in range(13)]))
smoke_train_dataloader = dict(
    dataset=dict(smoke_dataset, data_prefix=dict(img_path='train', seg_map_path='semantic/train')))
smoke_val_dataloader = dict(
    dataset=dict(smoke_dataset, data_prefix=dict(img_path='val', seg_map_path='semantic/val')))
