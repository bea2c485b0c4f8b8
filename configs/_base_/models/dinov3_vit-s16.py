# The backbone of DINOv3 ViT-S/16: rotary positions, whose scale is drawn in training, and four registers. `weights`
# names a file of Meta, timm or Hugging Face, which is downloaded after its licence is accepted (ai.meta.com/dinov3).
model = dict(
    backbone=dict(
        type='DenseViT',
        arch='deit-small',
        img_size=256,
        patch_size=16,
        position='rope',
        rope=dict(base=100.0, rescale=2.0),
        register_tokens=4,
        key_bias=False,
        layer_scale_init_value=1e-5,
        norm_cfg=dict(type='LN', eps=1e-5),
    )
)
