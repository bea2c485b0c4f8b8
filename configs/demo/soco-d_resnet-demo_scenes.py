# SoCo-D on the built-in scenes: `make demo ARGS='--method soco'`.
_base_ = ['./soco_resnet-demo_scenes.py', '../_base_/decoupling/paper_proposals.py']
model = dict(
    decoupling=dict(_base_.decoupling, mask_stride=4),
    data_preprocessor=dict(batch_stages=[dict(_base_.batch_stages[0], mask_stride=4)]),
)
