# Alignment in the de-coupling loss: iBOT/p-a (paper, Tables 5 (iBOT) and 11 (DenseCL), 200 epochs, rectangular
# foreground). Published: box AP 37.2, OKNN 66.7, CR inter 1.48, CR intra 0.45. Not yet run here. Written by
# `tools/ablate.py loss_type --write-configs` from ../loss_type.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
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
