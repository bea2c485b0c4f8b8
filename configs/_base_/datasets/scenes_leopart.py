# Two global and four local views of the built-in scenes that overlap with the global ones, as in Leopart. The blur is
# scaled to the size of the view, and the hue jitter is small because the hue distinguishes the classes.
_base_ = './scenes_64.py'
colors = [
    dict(type='RandomColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.6), prob=0.5),
]
global_crop = dict(type='RandomResizedCropView', size=64, scale=(0.3, 1.0))
local_crop = dict(type='RandomResizedCropView', size=32, scale=(0.1, 0.3))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(
                type='OverlapViews',
                views=[[global_crop, *colors], [local_crop, *colors]],
                num_views=[2, 4],
                overlap=0.01,
            ),
            dict(type='PackViews'),
        ]
    )
)
