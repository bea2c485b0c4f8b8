# The last phase of iBOT-D with Gram anchoring, on views of 448 pixels, from DINOv3 ViT-S/16.
# It starts from the last checkpoint of the first phase (`load_from`), to whose teacher it is anchored.
# Published: none. Not yet run here.
_base_ = [
    '../_base_/models/dinov3_vit-s16.py',
    '../_base_/posttraining/ibot.py',
    '../_base_/posttraining/gram.py',
    '../_base_/decoupling/paper.py',
    '../_base_/datasets/coco_ibot_448.py',
    '../_base_/schedules/posttrain_highres_10e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    _base_.method,
    backbone=dict(mask_token=True),
    terms=_base_.terms,
    decoupling=_base_.decoupling,
    frozen_backbone_epochs=0,
    teacher_temperature=(0.07, 0.07),
)
load_from = 'work_dirs/ibot-d-gram_vit-s16-dinov3_8x64-50e_coco/epoch_50.pth'
