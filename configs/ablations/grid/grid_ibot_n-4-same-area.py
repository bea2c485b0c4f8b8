# Grid of region collaborative cutout: iBOT/N=4 same area (paper, Table 12, iBOT-D 200 epochs). Not yet run here.
# Written by `tools/ablate.py grid --write-configs` from ../grid.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
model = dict(decoupling=dict(mask=dict(box_area=[
    0.084375,
    0.225,
], grid=4)))
