# iBOT with ViT-S/16, with the head, temperatures and block masks of bytedance/ibot. 10 to 50 % of the patches are
# masked in half of the views. The teacher reaches its last temperature after 80 epochs, as in the released iBOT-D
# (official iBOT: 30).
model = dict(
    type='IBOT',
    backbone=dict(type='DenseViT', arch='deit-small', img_size=224, patch_size=16, drop_path_rate=0.1, mask_token=True),
    neck=dict(type='DINOHead', in_channels=384, out_channels=8192, freeze_last_layer=1),
    teacher=dict(type='EMATeacher', momentum=0.996, end_momentum=1.0),
    mim_mask=dict(type='Blockwise', cut_ratio=(0.1, 0.5)),
    mim_share=0.5,
    student_temperature=0.1,
    teacher_temperature=(0.04, 0.07),
    warmup_epochs=80,
    center_momentum=0.9,
    data_preprocessor=dict(type='DensePreprocessor'),
)
