# iBOT continued from the backbone of DINOv2 or DINOv3, whose heads are not released. In the first 5 epochs the backbone
# is frozen and the head is trained; the schedules `posttrain_*.py` start again after them.
#   _base_ = ['../_base_/models/dinov2_reg_vit-s14.py', '../_base_/posttraining/ibot.py', ...]
#   model = dict(_base_.method, backbone=dict(mask_token=True, weights='dinov2_vits14_reg4_pretrain.pth'))
method = dict(
    type='IBOT',
    frozen_backbone_epochs=5,
    neck=dict(type='DINOHead', in_channels=384, out_channels=8192, freeze_last_layer=1),
    teacher=dict(type='EMATeacher', momentum=0.996, end_momentum=1.0),
    mim_mask=dict(type='Blockwise', cut_ratio=(0.1, 0.5)),
    mim_share=0.5,
    student_temperature=0.1,
    teacher_temperature=(0.04, 0.07),
    warmup_epochs=15,
    center_momentum=0.9,
    data_preprocessor=dict(type='DensePreprocessor'),
)
