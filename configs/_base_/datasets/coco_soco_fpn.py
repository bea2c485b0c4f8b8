# Three views of COCO train2017, as in SoCo-FPN: the whole image, a crop and a small crop, with four common proposals of
# the first and the second view, and four of the first and the third. coco_soco_c4.py describes the proposals.
_base_ = './coco_soco_c4.py'
crop = dict(_base_.crop, scale=(0.5, 1.0))
small_crop = dict(crop, size=112)
box_views = [
    dict(
        type='BoxViews',
        views=[
            [_base_.whole, *_base_.colors, *_base_.first_end],
            [crop, *_base_.colors, *_base_.second_end],
            [small_crop, *_base_.colors, *_base_.second_end],
        ],
        num_views=[1, 1, 1],
        num_boxes=4,
        pairs=[(0, 1), (0, 2)],
        jitter_prob=0.5,
        jitter=0.1,
    ),
    dict(type='PackViews'),
]
train_dataloader = dict(dataset=dict(pipeline=[_base_.train_dataloader.dataset.pipeline[0], *box_views]))
