# Weight of the de-coupling loss: iBOT/lambda=0.3 (paper, Table 13, iBOT-D 200 epochs). Published: box AP 42, CR inter
# 1.15. Not yet run here. Written by `tools/ablate.py lambda --write-configs` from ../lambda.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
