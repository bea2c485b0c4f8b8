# NeCo from DINO's ViT-S/16 on COCO train2017, 50 epochs: the DINO row of the table in the authors' repository.
# Published: VOC12 K=500 47.9, nearest-neighbor retrieval 61.3, linear 65.8 (mIoU).
# Not yet run here. The authors state 19 hours on one A100 for NeCo, without naming the network.
_base_ = [
    '../_base_/models/neco_vit-s16.py',
    '../_base_/datasets/coco_leopart.py',
    '../_base_/schedules/adamw_leopart_50e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=45)
auto_scale_lr = dict(base_batch_size=45)
