# Mask type of the de-coupling branch: iBOT/Cutout (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: box
# AP 39.2, OKNN 67.7, CR inter 1.26, CR intra 0.1. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
model = dict(
    decoupling=dict(
        mask=dict(
            _delete_=True,
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
            type='Cutout')))
