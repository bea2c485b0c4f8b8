# Alignment in the de-coupling loss: DenseCL/p-a (paper, Tables 5 (iBOT) and 11 (DenseCL), 200 epochs, rectangular
# foreground). Published: VOC AP 54.1, OKNN 63.5, CR inter 1.41, CR intra 0.4. Not yet run here. Written by
# `tools/ablate.py loss_type --write-configs` from ../loss_type.yml.
_base_ = ['../../densecl/densecl-d_r50_8xb32-200e_coco.py']
model = dict(
    decoupling=dict(
        alignment='point_to_all',
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
