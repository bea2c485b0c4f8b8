# RCC as an augmentation alone: iBOT/RCC (paper, Table 6, 800 epochs). Published: box AP 43.1, mask AP 37.6, OKNN 76.8,
# CR inter 1.35. Not yet run here. Written by `tools/ablate.py rcc_augmentation --write-configs` from
# ../rcc_augmentation.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-800e_coco.py']
model = dict(
    mim_mask=dict(
        _delete_=True,
        aspect=[
            0.5,
            2.0,
        ],
        box_area=[
            0.12,
            0.3,
        ],
        cut_ratio=[
            0.2,
            0.6,
        ],
        grid=3,
        rule='release',
        type='RegionCollaborativeCutout'))
