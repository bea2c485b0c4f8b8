# Built-in scenes of 48 pixels, which need no download: one split for training, others for measurements. Another file in
# this folder adds the views.
scenes = dict(size=48, objects=(2, 3), object_side=(0.36, 0.55), color_tells=0.95, illumination=0.3, cooccurrence=0.8)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='EpochSampler', shuffle=True),
    dataset=dict(type='SceneImages', num_images=2560, scenes=scenes),
)

# `mim test` measures objects of scenes that are not used for training.
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
            dict(type='LSC', images=24, window=3),
        ],
    ),
)
test_evaluator = dict(type='CouplingMetric')
test_cfg = dict()
