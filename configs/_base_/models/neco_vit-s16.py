# NeCo with ViT-S/16, which starts from the weights of DINO (download in _base_/models/leopart_vit-s16.py).
model = dict(
    type='NeCo',
    backbone=dict(
        type='DenseViT',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        weights='data/teachers/dino_deitsmall16_pretrain.pth',
    ),
    neck=dict(type='ProjectionHead', in_channels=384, hidden_channels=2048, out_channels=256),
    teacher=dict(type='EMATeacher', momentum=0.9995, end_momentum=1.0),
    local_views=4,
    references=49,
    steepness=100.0,
    data_preprocessor=dict(type='DensePreprocessor'),
)
