# NeCo, small enough for two CPU cores: four of the twelve blocks of a ViT-Ti/8, and 16 references. As it continues from
# pre-trained weights, `make demo ARGS='--method neco'` starts it from the iBOT of the demo.
_base_ = ['./neco_vit-s16.py']
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        drop_path_rate=0.0,
        weights=None,
    ),
    neck=dict(in_channels=192, hidden_channels=512, out_channels=128),
    teacher=dict(momentum=0.99),
    references=16,
)
