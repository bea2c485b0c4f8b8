# Grid of region collaborative cutout: iBOT/N=3 (paper, Table 12, iBOT-D 200 epochs). Published: box AP 42, CR inter
# 1.15. Not yet run here. Written by `tools/ablate.py grid --write-configs` from ../grid.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
