# PaKA with ViT-S/16, which starts from the weights of DINO (download in _base_/models/leopart_vit-s16.py). The loss is
# computed on the patch tokens of the backbone: whether the authors use a head is not known here.
model = dict(
    type='PaKA',
    backbone=dict(
        type='DenseViT',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        weights='data/teachers/dino_deitsmall16_pretrain.pth',
    ),
    teacher=dict(type='EMATeacher', momentum=0.9995, end_momentum=1.0),
    local_views=4,
    data_preprocessor=dict(type='DensePreprocessor'),
)
