# iBOT continued from DINOv2 ViT-S/14 with registers on COCO train2017: 5 epochs of head warm-up, 45 epochs of all.
# Published: none. Not yet run here.
_base_ = [
    '../_base_/models/dinov2_reg_vit-s14.py',
    '../_base_/posttraining/ibot.py',
    '../_base_/datasets/coco_ibot.py',
    '../_base_/schedules/posttrain_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(_base_.method, backbone=dict(mask_token=True, weights='data/teachers/dinov2_vits14_reg4_pretrain.pth'))
