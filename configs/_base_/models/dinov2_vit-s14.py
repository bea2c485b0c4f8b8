# The backbone of DINOv2 ViT-S/14. `weights` names a file of Meta, timm or Hugging Face, for example
#   curl -o data/teachers/dinov2_vits14_pretrain.pth --create-dirs \
#       https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth
# The positions are those of 518 pixels, resized to the view. Methods that mask patches add mask_token=True.
model = dict(
    backbone=dict(type='DenseViT', arch='deit-small', img_size=518, patch_size=14, layer_scale_init_value=1e-5)
)
