# Two views of COCO train2017 with four common proposals, as in SoCo-C4: the whole image and a crop of it.
# Create the proposals first:
#   mmdecouple proposals --data coco:data/coco --out data/coco/proposals
# or use random boxes instead, in a config that inherits this file:
#   train_dataloader = dict(dataset=dict(pipeline=[dict(type='GridProposals'), *_base_.box_views]))
_base_ = './coco.py'
colors = [
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
first_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=1.0)]
second_end = [
    dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.1),
    dict(type='RandomSolarize', threshold=128, prob=0.2),
]
whole = dict(type='WholeImageView', size=224)
crop = dict(type='RandomResizedCropView', size=224, scale=(0.6, 1.0))
box_views = [
    dict(
        type='BoxViews',
        views=[[whole, *colors, *first_end], [crop, *colors, *second_end]],
        num_views=[1, 1],
        num_boxes=4,
    ),
    dict(type='PackViews'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=12,
    dataset=dict(pipeline=[dict(type='LoadProposals', file='data/coco/proposals/train2017.npz'), *box_views]),
)
