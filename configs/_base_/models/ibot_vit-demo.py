# iBOT, small enough for two CPU cores: four of the twelve blocks of a ViT-Ti/8 and 512 prototypes. The temperature of
# the teacher stays low: if it were raised within minutes, all tokens would get the same flat distribution. The last
# layer is never frozen, because there are few epochs.
_base_ = ['./ibot_vit-s16.py']
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=192, out_channels=512, hidden_channels=512, bottleneck_channels=128, freeze_last_layer=0),
    teacher=dict(momentum=0.99),
    mim_mask=dict(cut_ratio=(0.2, 0.8)),
    teacher_temperature=(0.04, 0.04),
)
