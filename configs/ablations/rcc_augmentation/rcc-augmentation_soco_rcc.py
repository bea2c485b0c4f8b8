# RCC as an augmentation alone: SoCo/RCC (paper, Table 6, 800 epochs). Published: box AP 38.9, mask AP 33.9, OKNN 74.4,
# CR inter 1.1. Not yet run here. Written by `tools/ablate.py rcc_augmentation --write-configs` from
# ../rcc_augmentation.yml.
_base_ = ['../../soco/soco-c4_r50_8xb128-800e_coco.py']
model = dict(
    data_preprocessor=dict(batch_stages=[
        dict(
            mask=dict(
                aspect=[
                    0.5,
                    2.0,
                ],
                box_area=[
                    0.15,
                    0.4,
                ],
                cut_ratio=[
                    0.3,
                    0.5,
                ],
                grid=3,
                rule='area',
                type='RegionCollaborativeCutout'),
            mask_stride=16,
            on_regions=True,
            type='CutViews',
            views=[
                1,
            ]),
    ]))
