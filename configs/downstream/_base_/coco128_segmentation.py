# A segmentor on 128 + 128 real images with index images of COCO's panoptic ids (0 = unlabelled), which stand as their
# own names. Not every image has a map.
_base_ = './smoke_segmentation.py'
smoke_dataset = dict(
    type='mmdecouple.MappedImages',
    data_root='data/coco128/',
    img_suffix='.jpg',
    reduce_zero_label=True,
    metainfo=dict(classes=[str(i) for i in range(1, 201)], palette=[[i, i, i] for i in range(1, 201)]))
smoke_train_dataloader = dict(
    dataset=dict(smoke_dataset, data_prefix=dict(img_path='train2017', seg_map_path='semantic/train2017')))
smoke_val_dataloader = dict(
    dataset=dict(smoke_dataset, data_prefix=dict(img_path='val2017', seg_map_path='semantic/val2017')))
