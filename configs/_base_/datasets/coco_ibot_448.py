# The views of coco_ibot.py at 448 pixels, from at least a quarter of the image.
_base_ = './coco_ibot.py'
large = dict(_base_.crop, size=448, scale=(0.25, 1.0))
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        pipeline=[
            dict(
                type='MultiView',
                views=[[large, *_base_.colors, *_base_.first_end], [large, *_base_.colors, *_base_.second_end]],
                num_views=[1, 1],
            ),
            dict(type='PackViews'),
        ]
    ),
)
