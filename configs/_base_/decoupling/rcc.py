# RCC as an augmentation of the query view, without the branch (the "-RCC" rows of the paper's Table 6):
#   _base_ = ['./the_base_config.py', '../_base_/decoupling/rcc.py']
#   model = dict(data_preprocessor=dict(batch_stages=_base_.batch_stages))
batch_stages = [
    dict(
        type='CutViews',
        views=(0,),
        mask_stride=32,
        mask=dict(
            type='RegionCollaborativeCutout',
            cut_ratio=(0.3, 0.5),
            grid=3,
            box_area=(0.15, 0.4),
            aspect=(0.5, 2.0),
            rule='area',
        ),
    )
]
