# 128 real images for training and 32 others for the test, with index images of COCO's panoptic ids (0 = unlabelled),
# whose names are the ids. Not every image has a map.
_base_ = './_segmentation.py'
images = dict(
    type='mmdecouple.MappedImages',
    data_root='data/coco128/',
    img_suffix='.jpg',
    reduce_zero_label=True,
    metainfo=dict(classes=[str(i) for i in range(1, 201)], palette=[[i, i, i] for i in range(1, 201)]),
)
train_dataloader = dict(dataset=dict(images, data_prefix=dict(img_path='train2017', seg_map_path='semantic/train2017')))
test_dataloader = dict(
    dataset=dict(images, data_prefix=dict(img_path='val2017', seg_map_path='semantic/val2017'), indices=32)
)
