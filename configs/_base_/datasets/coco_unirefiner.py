# One view of 5 % of COCO train2017, about 5,900 images, without augmentation, as in UniRefiner. Create the list first:
#   mmdecouple subset --data coco:data/coco --percent 5 --seeds 0
_base_ = './coco.py'
view = [dict(type='WholeImageView', size=224, interpolation='bicubic')]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    dataset=dict(
        ann_file='annotations/instances_train2017_5pct_seed0.json',
        pipeline=[dict(type='MultiView', views=[view], num_views=[1]), dict(type='PackViews')],
    ),
)
