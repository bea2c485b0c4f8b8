# Weight of the de-coupling loss: iBOT/lambda=0.1 (paper, Table 13, iBOT-D 200 epochs). Published: box AP 40.5. Not yet
# run here. Written by `tools/ablate.py lambda --write-configs` from ../lambda.yml.
_base_ = ['../../ibot/ibot-d_vit-s16_8x64-200e_coco.py']
model = dict(decoupling=dict(loss_weight=0.1))
