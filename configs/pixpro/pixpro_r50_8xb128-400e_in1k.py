# PixPro with a ResNet-50 on ImageNet, 400 epochs, as tools/pixpro_base_r50_400ep.sh of zdaxie/PixPro.
# Published: VOC AP 60.2 / 83.8 / 67.7, COCO box AP 40.5, mask AP 35.3 (C4).
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/pixpro_r50.py',
    '../_base_/datasets/coco_pixpro.py',
    '../_base_/schedules/pixpro_lars_800e.py',
    '../_base_/default_runtime.py',
]
# ImageNet in folders of classes; the objects to measure on are COCO's.
train_dataloader = dict(dataset=dict(data_root='data/imagenet/train', ann_file=None, img_prefix=''))
train_cfg = dict(max_epochs=400)
