# iBOT with ViT-g/14 (Zhai et al., arXiv 2106.04560: 40 blocks of width 1408 with a plain MLP of 6144): the head,
# temperatures and masks of ViT-S/16, on 16 x 16 patches of 14 pixels. Each block is recomputed in the backward pass
# (docs/scaling.md).
_base_ = ['./ibot_vit-s16.py']
model = dict(backbone=dict(arch='eva-g', patch_size=14, drop_path_rate=0.4, with_cp=True), neck=dict(in_channels=1408))
