# Two global and four local views of COCO train2017: iBOT's multi-crop with as many local views as the paper's iBOT-MC.
# The scales are not given in the paper; these are the official ones of bytedance/ibot for ViT-S.
_base_ = './coco_ibot.py'
crop = dict(_base_.crop, scale=(0.25, 1.0))
local_crop = dict(type='RandomResizedCropView', size=96, scale=(0.05, 0.25), interpolation='bicubic')
local_end = [dict(type='RandomGaussianBlur', sigma=(0.1, 2.0), prob=0.5)]
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
