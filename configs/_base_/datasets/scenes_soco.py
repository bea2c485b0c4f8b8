# The whole scene and a crop of it with four common random boxes, as in SoCo-C4. The blur is scaled to the size of the
# view, and the hue jitter is small because the hue distinguishes the classes.
_base_ = './scenes.py'
colors = [
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
]
first_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 0.5), prob=1.0)]
second_end = [
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.5), prob=0.1),
    dict(type='RandomSolarize', threshold=128, prob=0.2),
]
whole = dict(type='WholeImageView', size=48)
crop = dict(type='RandomResizedCropView', size=48, scale=(0.6, 1.0))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='GridProposals'),
            dict(
                type='BoxViews',
                views=[[whole, *colors, *first_end], [crop, *colors, *second_end]],
                num_views=[1, 1],
                num_boxes=4,
            ),
            dict(type='PackViews'),
        ]
    )
)
