# Mask R-CNN R50-FPN on 1 % of COCO's images, 9000 iterations: the 1x protocol with less data, and fewer iterations to
# limit overfitting. `mmdecouple subset` creates the lists of images, one for each seed; transfer.py uses
# the list of the seed of the run.
# Published: nothing in this very protocol; compare with rows of your own, over the same seeds.
# Not yet run here.
_base_ = './mask-rcnn_r50-fpn_1x_coco.py'
train_dataloader = dict(dataset=dict(ann_file='annotations/instances_train2017_1pct_seed0.json'))
train_cfg = dict(max_iters=9000, val_interval=9000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1001),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=9000, milestones=[6000, 8000], gamma=0.1),
]
