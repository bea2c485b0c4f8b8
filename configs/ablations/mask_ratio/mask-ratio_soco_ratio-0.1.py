# Mask ratio of the base method: SoCo/ratio=0.1 (paper, Fig. 8, 200 epochs). Not yet run here. Written by
# `tools/ablate.py mask_ratio --write-configs` from ../mask_ratio.yml.
_base_ = ['../../soco/soco-c4_r50_8xb128-200e_coco.py']
model = dict(
    data_preprocessor=dict(batch_stages=[
        dict(area=[
            0.1,
            0.1,
        ], prob=1.0, type='CutBoxes'),
    ]))
