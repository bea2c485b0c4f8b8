# MaskAlign, small enough for two CPU cores: student and teacher have four of the twelve blocks of a ViT-Ti/8. The
# teacher is the iBOT that `make demo ARGS='--method ibot'` trains.
_base_ = ['./maskalign_vit-s16.py']
arch = dict(embed_dims=192, num_layers=4, num_heads=3, feedforward_channels=768)
model = dict(
    backbone=dict(arch=dict(arch, _delete_=True), img_size=64, patch_size=8, drop_path_rate=0.0),
    neck=dict(in_channels=192, out_channels=192, student_depth=4, teacher_depth=4, levels=3),
    teacher=dict(
        _delete_=True,
        type='FrozenViT',
        backbone=dict(type='DenseViT', arch=arch, img_size=64, patch_size=8),
        checkpoint='work_dirs/demo/ibot_vit-demo_scenes/epoch_6.pth',
    ),
)
