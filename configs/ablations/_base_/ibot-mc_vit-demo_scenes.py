# iBOT with multi-crop (2 + 4 views) on the built-in scenes: the demo's row of the table `schedule`.
_base_ = ['../../demo/ibot_vit-demo_scenes.py']
crop = dict(type='RandomResizedCropView', size=64, scale=(0.4, 1.0), interpolation='bicubic')
local_crop = dict(type='RandomResizedCropView', size=24, scale=(0.1, 0.4), interpolation='bicubic')
local_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 0.6), prob=0.5)]
model = dict(local_views=4)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(
                type='MultiView',
                views=[
                    [crop, *_base_.colors, *_base_.first_end],
                    [crop, *_base_.colors, *_base_.second_end],
                    [local_crop, *_base_.colors, *local_end],
                ],
                num_views=[1, 1, 4],
            ),
            dict(type='PackViews'),
        ]
    )
)
