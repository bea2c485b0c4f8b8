# Leopart with ViT-S/16, which starts from the weights of DINO:
#   curl -o data/teachers/dino_deitsmall16_pretrain.pth --create-dirs \
#       https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth
# The queue length is that of each of two processes: 8192 rows in total for each global view.
model = dict(
    type='Leopart',
    backbone=dict(
        type='DenseViT',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        weights='data/teachers/dino_deitsmall16_pretrain.pth',
    ),
    neck=dict(type='PrototypeHead', in_channels=384, prototypes=300, hidden_channels=2048, out_channels=256),
    teacher=dict(type='EMATeacher', momentum=0.9995, end_momentum=1.0),
    local_views=4,
    queue_length=4096,
    data_preprocessor=dict(type='DensePreprocessor'),
)
