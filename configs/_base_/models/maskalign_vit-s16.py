# MaskAlign with ViT-S/16 and OpenAI's CLIP ViT-B/16 as teacher. The weights of the teacher are not downloaded
# automatically: set model.teacher.checkpoint to OpenAI's ViT-B-16.pt, or to a ViT in any format that `mmdecouple
# convert` reads.
model = dict(
    type='MaskAlign',
    backbone=dict(
        type='DenseViT', arch='deit-small', img_size=224, patch_size=16, drop_path_rate=0.1, position='sincos'
    ),
    neck=dict(type='DynamicAlignment', in_channels=384, out_channels=768, levels=5),
    teacher=dict(
        type='FrozenViT',
        backbone=dict(
            type='DenseViT',
            arch='base',
            img_size=224,
            patch_size=16,
            pre_norm=True,
            norm_cfg=dict(type='LN', eps=1e-5),
            layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
        ),
        checkpoint='data/teachers/ViT-B-16.pt',
        statistics='clip',
    ),
    mask_ratio=0.7,
    masking='attention',
    data_preprocessor=dict(type='DensePreprocessor'),
)
