# The three views of PLRC of COCO train2017, with MoCo v2's augmentations: query, key, and a crop whose common area with
# the query's window is at least half of the larger of the two. As in the official code, the flip precedes the colors.
_base_ = './coco.py'
view = [
    dict(type='RandomResizedCropView', size=224, scale=(0.2, 1.0)),
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.5),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=12,
    dataset=dict(
        pipeline=[
            dict(type='PartnerViews', views=[view], num_views=[3], pair=(0, 2), share=0.5),
            dict(type='PackViews'),
        ]
    ),
)
