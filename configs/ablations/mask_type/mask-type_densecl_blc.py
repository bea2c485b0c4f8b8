# Mask type of the de-coupling branch: DenseCL/Blc (paper, Tables 4 (iBOT) and 10 (DenseCL), 200 epochs). Published: VOC
# AP 55.3, OKNN 69, CR inter 1.16, CR intra 0.2. Not yet run here. Written by `tools/ablate.py mask_type
# --write-configs` from ../mask_type.yml.
_base_ = ['../../densecl/densecl-d_r50_8xb32-200e_coco.py']
model = dict(
    decoupling=dict(
        mask=dict(_delete_=True, cut_ratio=[
            0.3,
            0.5,
        ], type='Blockwise')))
