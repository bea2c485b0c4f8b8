"""Small models that every model test builds the same way."""

import pytest
import torch

RESNET = dict(
    type='mmpretrain.ResNet',
    depth=18,
    stem_channels=8,
    base_channels=8,
    num_stages=3,
    strides=(1, 2, 1),
    dilations=(1, 1, 1),
    out_indices=(2,),
    norm_cfg=dict(type='BN'),
    zero_init_residual=False,
)
NECK = dict(type='mmpretrain.DenseCLNeck', in_channels=32, hid_channels=32, out_channels=16)
BRANCH = dict(type='DecouplingBranch', mask=dict(type='RegionCollaborativeCutout', preset='paper'))


def densecl(**kwargs) -> dict:
    """Config of a DenseCL for 32 pixel views: stride 8, 4 x 4 positions."""
    return {**dict(type='DenseCL', backbone=RESNET, neck=NECK, queue_length=32, channels=16), **kwargs}


def build(cfg: dict, seed: int = 0):
    """Build a model and initialize it as the runner does."""
    from mmdecouple.models import DenseAlgorithm
    from mmdecouple.registry import MODELS

    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.init_weights()
    if isinstance(model, DenseAlgorithm):
        model.prepare_training()
    return model


def batch(size: int = 8, pixels: int = 32, views: int = 2, seed: int = 1) -> dict:
    """A collated batch of uint8 views."""
    generator = torch.Generator().manual_seed(seed)
    shape = (size, 3, pixels, pixels)
    return dict(
        inputs=[torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in range(views)],
        data_samples=None,
    )


def losses_of(model, data: dict, iteration: int = 0) -> dict:
    """One loss call, with all random draws fixed by the iteration."""
    torch.manual_seed(100 + iteration)
    model.data_preprocessor.set_step(seed=0, rank=0, iteration=iteration)
    return model(**model.data_preprocessor(data, True), mode='loss')


def begun(model, data: dict):
    """The step of a batch before the networks run."""
    return model.begin(**model.data_preprocessor(data, True))


def forwarded(model, step):
    """The step with the outputs of both networks."""
    step.teacher = model.teacher_forward(step)
    step.student, step.dense = model.student_forward(step)
    return step


@pytest.fixture
def data() -> dict:
    return batch()
