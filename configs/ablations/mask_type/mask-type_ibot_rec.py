# Mask type of the de-coupling branch: iBOT/Rec (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: box AP
# 39.3, OKNN 69.3, CR inter 1.32, CR intra 0.15. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
model = dict(
    decoupling=dict(
        mask=dict(
            _delete_=True,
            area=[
                0.2,
                0.6,
            ],
            aspect=[
                0.6666667,
                1.5,
            ],
            type='Rectangle')))
