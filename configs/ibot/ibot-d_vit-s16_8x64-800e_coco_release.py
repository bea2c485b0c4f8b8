# iBOT-D on COCO train2017, 800 epochs, with the readings of the authors' released code (ztt1024/denseSSL), which made
# the published weights.
# Published: COCO box AP 45.1 / 64.3 / 48.7, mask AP 39.1 / 61.2 / 41.7, ADE20K mIoU 41.6, OKNN top-1 78.7, OKNN-D 52.1.
# Not yet run here. The paper's hardware: 27 h on 8 x RTX 3090 (Table 8).
# Not kept of that code:
# - the teacher's second pass over the decoupled images, and counting these twice in the centers;
# - decoupled are random images, each with a random other one as background; there always the last of each view, paired
#   in reverse order;
# - the branch's masks are drawn for it, all of them not empty; there they are the first non-empty masks of the batch's
#   own masked image modeling, nearly all of the first view;
# - colors, gray and solarization come before the blur, image by image, as in the original iBOT; there after it, by
#   kornia on the GPU, with one order of the jitter's four operations for the whole batch.
# The rule of the masks is that of the code, cell for cell (preset `release`).
_base_ = ['./ibot_vit-s16_8x64-800e_coco.py', '../_base_/decoupling/release_vit.py', '../_base_/decoupling/rcc_mim.py']
model = dict(decoupling=_base_.decoupling, mim_mask=_base_.mim_mask)
