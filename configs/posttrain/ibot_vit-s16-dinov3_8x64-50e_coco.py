# iBOT continued from DINOv3 ViT-S/16 on COCO train2017: 5 epochs of head warm-up, 45 epochs of all.
# Published: none. Not yet run here.
_base_ = [
    '../_base_/models/dinov3_vit-s16.py',
    '../_base_/posttraining/ibot.py',
    '../_base_/datasets/coco_ibot.py',
    '../_base_/schedules/posttrain_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    _base_.method, backbone=dict(mask_token=True, weights='data/teachers/dinov3_vits16_pretrain_lvd1689m-08c60483.pth')
)
