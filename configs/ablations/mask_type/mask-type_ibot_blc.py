# Mask type of the de-coupling branch: iBOT/Blc (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: box AP
# 41.1, OKNN 72.9, CR inter 1.28, CR intra 0.09. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
model = dict(
    decoupling=dict(
        mask=dict(_delete_=True, cut_ratio=[
            0.3,
            0.5,
        ], type='Blockwise')))
