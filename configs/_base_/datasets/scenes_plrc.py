# The three views of PLRC of the built-in scenes: query, key, and a crop that overlaps with the query's window by at
# least half of the larger one. The blur is scaled to the view; the hue jitter is small, as hue separates the classes.
_base_ = './scenes.py'
view = [
    dict(type='RandomResizedCropView', size=48, scale=(0.3, 1.0)),
    dict(type='RandomFlipView', prob=0.5),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.5), prob=0.5),
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='PartnerViews', views=[view], num_views=[3], pair=(0, 2), share=0.5),
            dict(type='PackViews'),
        ]
    )
)
