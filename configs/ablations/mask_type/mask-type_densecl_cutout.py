# Mask type of the de-coupling branch: DenseCL/Cutout (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published:
# VOC AP 54.6, OKNN 65.1, CR inter 1.3, CR intra 0.25. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../densecl/densecl-d_r50_8xb32-200e_coco.py']
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
