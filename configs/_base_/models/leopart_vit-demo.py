# Leopart, small enough for two CPU cores: four of the twelve blocks of a ViT-Ti/8 and 64 prototypes. As it learns
# little from random weights, `make demo ARGS='--method leopart'` starts it from the iBOT of the demo.
_base_ = ['./leopart_vit-s16.py']
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        drop_path_rate=0.0,
        weights=None,
    ),
    neck=dict(in_channels=192, prototypes=64, hidden_channels=512, out_channels=128),
    teacher=dict(momentum=0.99),
    queue_length=1024,
)
