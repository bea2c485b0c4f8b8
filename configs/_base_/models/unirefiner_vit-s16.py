# UniRefiner for the ViT-S/16 of DINO:
#   curl -o data/teachers/dino_deitsmall16_pretrain.pth --create-dirs \
#       https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth
# Any other file that `mmdecouple convert` reads, or a checkpoint of this package, can be refined instead: set
# model.backbone.weights, and the sizes of the backbone. The constants are those of the authors' config for DINOv2.
model = dict(
    type='UniRefiner',
    backbone=dict(
        type='DenseViT',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        weights='data/teachers/dino_deitsmall16_pretrain.pth',
    ),
    lora=dict(rank=8, alpha=16, dropout=0.1),
    crops=3,
    crop_scale=(0.25, 0.5),
    strip_ratio=0.35,
    border=1,
    deviations=0.5,
    register_similarity=0.55,
    uniformity=0.3,
    data_preprocessor=dict(type='DensePreprocessor'),
)
