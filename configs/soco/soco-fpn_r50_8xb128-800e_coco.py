# SoCo on a feature pyramid with three views, COCO train2017, 800 epochs. The paper has no -D form of it.
# Published: none on COCO train2017 alone.
# Not yet run here. Hours are not published.
_base_ = [
    '../_base_/models/soco_r50-fpn.py',
    '../_base_/datasets/coco_soco_fpn.py',
    '../_base_/schedules/soco_lars_800e.py',
    '../_base_/default_runtime.py',
]
