# Views of COCO train2017 for PaKA: the teacher's without color augmentation, and a global and four local views of the
# student, which overlap with it by at least 4 % of the image.
_base_ = './coco.py'
global_crop = dict(type='RandomResizedCropView', size=224, scale=(0.25, 1.0))
local_crop = dict(type='RandomResizedCropView', size=96, scale=(0.05, 0.25))
colors = [
    dict(type='RandomColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.5),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=12,
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
    ),
)
