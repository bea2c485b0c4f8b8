# Mask type of the de-coupling branch: iBOT/Ran (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: box AP
# 39.9, OKNN 70.9, CR inter 1.25, CR intra 0.1. Not yet run here. Written by `tools/ablate.py mask_type --write-configs`
# from ../mask_type.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
model = dict(
    decoupling=dict(
        mask=dict(_delete_=True, cut_ratio=[
            0.4,
            0.6,
        ], type='RandomMask')))
