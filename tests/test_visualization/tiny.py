"""A DenseCL-D on built-in scenes, small enough to build in a moment, as a config file."""

CONFIG = """
default_scope = 'mmdecouple'
model = dict(
    type='DenseCL',
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8,
                  num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1), out_indices=(2, ),
                  norm_cfg=dict(type='BN'), zero_init_residual=False),
    neck=dict(type='mmpretrain.DenseCLNeck', in_channels=32, hid_channels=32, out_channels=16),
    queue_length=32, channels=16,
    decoupling=dict(type='DecouplingBranch', ratio=0.5,
                    mask=dict(type='RegionCollaborativeCutout', preset='paper')))
train_dataloader = dict(
    batch_size=8,
    dataset=dict(type='SceneImages', num_images=16, scenes=dict(size=(64, 64)),
                 pipeline=[dict(type='MultiView', views=[[dict(type='RandomResizedCropView', size=32, scale=(0.2, 1.0)),
                                                   dict(type='RandomFlipView', prob=0.5)]], num_views=[2]),
                           dict(type='PackViews')]))
test_dataloader = dict(
    dataset=dict(type='ProbeDataset', size=64,
                 objects=dict(type='SceneObjects', num_images=12, scenes=dict(size=(64, 64)))))
"""
