# RCC on the proposals of the second view instead of SoCo's own cutout (SoCo-RCC in the paper's Table 6):
#   _base_ = ['./the_base_config.py', '../_base_/decoupling/rcc_proposals.py']
#   model = dict(data_preprocessor=dict(batch_stages=_base_.batch_stages))
# A mask cell has 16 pixels, as a position of the map that proposals are pooled from; larger cells would distort the
# cuts of small proposals.
batch_stages = [
    dict(
        type='CutViews',
        views=(1,),
        mask_stride=16,
        on_regions=True,
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
