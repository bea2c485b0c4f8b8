# Scenes that `mmdecouple scenes` writes.
_base_ = './_segmentation.py'
images = dict(
    type='mmseg.BaseSegDataset',
    data_root='data/scenes/',
    img_suffix='.png',
    reduce_zero_label=False,
    metainfo=dict(
        classes=(
            'background',
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
        ),
        palette=[[20 * i, 20 * i, 20 * i] for i in range(13)],
    ),
)
train_dataloader = dict(dataset=dict(images, data_prefix=dict(img_path='train', seg_map_path='semantic/train')))
test_dataloader = dict(dataset=dict(images, data_prefix=dict(img_path='val', seg_map_path='semantic/val'), indices=32))
