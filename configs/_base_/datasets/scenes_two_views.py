# Built-in scenes at 48 pixels: no download. Two views with MoCo v2's augmentations, the blur scaled to the view.
scenes = dict(
    size=48, objects=(2, 3), object_side=(0.36, 0.55), color_tells=0.95, illumination=0.3, cooccurrence=0.8)
view = [
    dict(type='RandomResizedCropView', size=48, scale=(0.3, 1.0)),
    dict(type='RandomColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.04, prob=0.8),
    dict(type='RandomGrayscale', prob=0.2),
    dict(type='RandomGaussianBlur', sigma=(0.1, 0.5), prob=0.5),
    dict(type='RandomFlipView', prob=0.5),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='EpochSampler', shuffle=True),
    dataset=dict(
        type='SceneImages',
        num_images=2560,
        scenes=scenes,
        pipeline=[dict(type='MultiView', views=[view], num_views=[2]), dict(type='PackViews')]))

# What `mim test` measures: objects of scenes that no run trains on.
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ProbeDataset',
        size=48,
        cell=8,
        objects=dict(type='SceneObjects', num_images=600, split='val', scenes=scenes),
        bank=dict(type='SceneObjects', num_images=1500, split='train', scenes=scenes),
        singles=dict(type='SceneObjects', num_images=400, split='val', scenes=dict(scenes, objects=(1, 1))),
        measures=[
            dict(type='OKNN'),
            dict(type='InterCouplingRatio', pairs=100, min_side=10),
            dict(type='IntraCouplingRatio', objects=500, min_cells=3, min_part_cells=0.5),
            dict(type='ContextShift', objects=600),
            dict(type='BackgroundLeak', bank=1500, queries=600),
        ]))
test_evaluator = dict(type='CouplingMetric')
test_cfg = dict()
