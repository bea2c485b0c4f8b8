# PixPro with a ResNet-50 on ImageNet, 100 epochs, as tools/pixpro_base_r50_100ep.sh of zdaxie/PixPro.
# Published: VOC AP 58.8 / 83.0 / 66.5, COCO box AP 40.0, mask AP 34.8 (C4); FPN 40.8 / 36.8.
# Not run here. A user of the authors' code reports 58 h on 8 x V100-32GB in the tracker of zdaxie/PixPro.
_base_ = [
    '../_base_/models/pixpro_r50.py',
    '../_base_/datasets/coco_pixpro.py',
    '../_base_/schedules/pixpro_lars_800e.py',
    '../_base_/default_runtime.py',
]
# ImageNet in folders of classes; the objects to measure on are COCO's.
train_dataloader = dict(dataset=dict(data_root='data/imagenet/train', ann_file=None, img_prefix=''))
train_cfg = dict(max_epochs=100)
