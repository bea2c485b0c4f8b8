# The backbone of DINOv2 ViT-S/14 with four registers. `weights` names a file of Meta, timm or Hugging Face, for example
#   curl -o data/teachers/dinov2_vits14_reg4_pretrain.pth --create-dirs \
#       https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth
# Its positions are resized with antialiasing, as by the authors.
_base_ = './dinov2_vit-s14.py'
model = dict(backbone=dict(register_tokens=4, antialias=True))
