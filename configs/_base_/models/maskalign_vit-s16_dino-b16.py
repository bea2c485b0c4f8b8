# maskalign_vit-s16.py with DINO ViT-B/16 (dino_vitbase16_pretrain.pth) as teacher, for which views are not resized.
_base_ = ['./maskalign_vit-s16.py']
model = dict(
    teacher=dict(
        _delete_=True,
        type='FrozenViT',
        backbone=dict(type='DenseViT', arch='base', img_size=224, patch_size=16),
        checkpoint='data/teachers/dino_vitbase16_pretrain.pth',
        statistics='imagenet',
    )
)
