# UniRefiner, small enough for two CPU cores: four of the twelve blocks of a ViT-Ti/8. It refines the iBOT of the demo,
# whose checkpoint is named by model.backbone.weights.
_base_ = ['./unirefiner_vit-s16.py']
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=768),
        img_size=64,
        patch_size=8,
        weights=None,
    )
)
