# iBOT with ViT-L/16: the head, temperatures and masks of ViT-S/16. Each block is recomputed in the backward pass, so
# that 64 images fit on a GPU with 24 GB (docs/scaling.md).
_base_ = ['./ibot_vit-s16.py']
model = dict(backbone=dict(arch='large', drop_path_rate=0.3, with_cp=True), neck=dict(in_channels=1024))
