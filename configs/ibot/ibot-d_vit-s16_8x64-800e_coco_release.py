# iBOT-D on COCO train2017, 800 epochs, with the readings of the authors' released code (ztt1024/denseSSL), which made
# the published weights.
# Published: COCO box AP 45.1 / 64.3 / 48.7, mask AP 39.1 / 61.2 / 41.7, ADE20K mIoU 41.6, OKNN top-1 78.7, OKNN-D 52.1.
# Not yet run here. The paper's hardware: 27 h on 8 x RTX 3090 (Table 8).
# Not kept of that code: the teacher's second pass over the decoupled images, and counting these twice in the centers.
_base_ = [
    './ibot_vit-s16_8x64-800e_coco.py',
    '../_base_/decoupling/release_vit.py',
    '../_base_/decoupling/rcc_mim.py',
]
model = dict(decoupling=_base_.decoupling, mim_mask=_base_.mim_mask)
