# Views of the built-in scenes for PaKA: the teacher's without color augmentation, and a global and four local views of
# the student, which overlap with it by at least 4 % of the image.
_base_ = './scenes_64.py'
global_crop = dict(type='RandomResizedCropView', size=64, scale=(0.3, 1.0))
local_crop = dict(type='RandomResizedCropView', size=32, scale=(0.1, 0.3))
colors = [
    dict(type='RandomColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.6), prob=0.5),
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(
                type='OverlapViews',
                views=[[global_crop], [global_crop, *colors], [local_crop, *colors]],
                num_views=[1, 1, 4],
                overlap=0.04,
            ),
            dict(type='PackViews'),
        ]
    )
)
