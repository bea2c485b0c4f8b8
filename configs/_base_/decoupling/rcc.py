# RCC as an augmentation of the query view, without the branch (the "-RCC" rows of the paper's Table 6).
model = dict(
    data_preprocessor=dict(
        batch_stages=[
            dict(
                type='CutViews',
                views=(0, ),
                mask_stride=32,
                mask=dict(type='RegionCollaborativeCutout', preset='paper'))
        ]))
