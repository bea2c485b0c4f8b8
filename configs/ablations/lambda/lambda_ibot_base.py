# Weight of the de-coupling loss: iBOT/base (paper, Table 13, iBOT-D 200 epochs). Published: box AP 38.7, OKNN 69.9, CR
# inter 1.8, CR intra 0.17. Not yet run here. Written by `tools/ablate.py lambda --write-configs` from ../lambda.yml.
_base_ = ['../../ibot/ibot_vit-s16_8x64-200e_coco.py']
