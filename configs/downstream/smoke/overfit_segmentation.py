# Training and test on the same eight built-in scenes, which transfer.py writes to the folder of the run.
_base_ = './scenes_segmentation.py'
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]
    ),
)
test_dataloader = dict(dataset=dict(data_prefix=dict(img_path='train', seg_map_path='semantic/train')))
train_cfg = dict(max_iters=150)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.05, by_epoch=False, begin=20, end=150),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
auto_scale_lr = dict(base_batch_size=4)
