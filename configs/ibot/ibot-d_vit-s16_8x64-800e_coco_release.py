# iBOT-D on COCO train2017, 800 epochs, with the options of the authors' released code (ztt1024/denseSSL), which
# produced the published weights.
# Published: COCO box AP 45.1 / 64.3 / 48.7, mask AP 39.1 / 61.2 / 41.7, ADE20K mIoU 41.6, OKNN top-1 78.7, OKNN-D 52.1.
# Not yet run here. The paper's hardware: 27 h on 8 x RTX 3090 (Table 8).
# Differences from that code:
# - The teacher has no second pass over the decoupled images, and they are not counted twice in the centers.
# - Random images are decoupled, each with another random image as background; there, the last images of each view are
#   decoupled and paired in reverse order.
# - The branch draws its own masks, none of them empty; there, it uses the first non-empty masks of the masked image
#   modeling of the batch, nearly all of the first view.
# - Color jitter, gray and solarization are applied before the blur, to each image, as in the original iBOT; there,
#   after it, by kornia on the GPU, with one order of the four operations of the jitter for the whole batch.
# The masks are those of the code, cell for cell (`rule='release'`).
_base_ = ['./ibot_vit-s16_8x64-800e_coco.py', '../_base_/decoupling/release_vit.py', '../_base_/decoupling/rcc_mim.py']
model = dict(decoupling=_base_.decoupling, mim_mask=_base_.mim_mask)
