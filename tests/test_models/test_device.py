"""A training step mixes no devices and never synchronizes with the accelerator, shown without one.

On PyTorch's `meta` device tensors have shapes and no values: reading one on the host raises, and so does an operation
on tensors of two devices, as they would stall or fail on a GPU.
"""

from contextlib import nullcontext

import pytest
import torch

from mmdecouple.engine import SoCoLARS

from . import (
    test_leopart,
    test_maskalign,
    test_neco,
    test_paka,
    test_pixpro,
    test_plrc,
    test_resim,
    test_soco,
    test_unirefiner,
)
from .conftest import BRANCH, NECK, RESNET, batch, build, densecl
from .golden_models import ibot

GRID = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}
MOCO = dict(
    type='MoCoV2',
    backbone=RESNET,
    queue_length=32,
    channels=16,
    neck=dict(type='mmpretrain.MoCoV2Neck', in_channels=32, hid_channels=32, out_channels=16),
)


def multi_crop() -> dict:
    """Two global and two local views."""
    return dict(inputs=batch()['inputs'] + batch(pixels=16)['inputs'], data_samples=None)


@pytest.mark.parametrize(
    'config, data',
    [
        (MOCO, batch()),
        (densecl(), batch()),
        (densecl(type='MisalignedDenseCL', match_rank=2, decoupling={**BRANCH, 'alignment': 'average'}), batch()),
        (densecl(neck=NECK, decoupling={**BRANCH, 'alignment': 'point_to_all', 'weighting': 'additive'}), batch()),
        (ibot(decoupling=GRID), batch()),
        (ibot(decoupling={**GRID, 'mixing': 'embedding', 'alignment': 'average'}), batch()),
        (ibot(type='MisalignedIBOT', decoupling=GRID, local_views=2, visible_weight=1.0, target_rank=2), multi_crop()),
        (ibot(decoupling=GRID, visible_weight=1.0, visible_by_distance=True), batch()),
        (test_maskalign.maskalign(decoupling={**GRID, 'ratio': 0.5}, drop=0.5), batch(views=1)),
        (test_soco.soco(decoupling={**BRANCH, 'ratio': 0.5}), test_soco.data()),
        (test_resim.resim(decoupling=GRID), test_resim.data()),
        (test_resim.resim_c4(decoupling={**GRID, 'alignment': 'average'}), test_resim.apart()),
        (test_leopart.leopart(decoupling=GRID, queue_length=64), test_leopart.data()),
        (test_neco.neco(decoupling=GRID), test_leopart.data()),
        (test_paka.paka(decoupling=GRID), test_leopart.data()),
        (test_pixpro.with_instance(test_pixpro.pixpro(decoupling=GRID)), test_pixpro.data()),
        (test_plrc.plrc(decoupling=BRANCH), test_plrc.data()),
        (test_unirefiner.unirefiner(decoupling={**GRID, 'ratio': 0.5}), batch(views=1)),
    ],
    ids=[
        'MoCo v2',
        'DenseCL',
        'DenseCL-D average',
        'DenseCL-D all',
        'iBOT-D',
        'iBOT-D embedding',
        'iBOT-D multi-crop',
        'iBOT-D by distance',
        'MaskAlign-D',
        'SoCo-D',
        'ReSim-D',
        'ReSim-C4-D without shown windows',
        'Leopart-D',
        'NeCo-D',
        'PaKA-D',
        'PixPro-D',
        'PLRC-D',
        'UniRefiner-D',
    ],
)
def test_a_step_reads_nothing_on_the_host_and_mixes_no_devices(config, data, monkeypatch):
    # It does not know the meta device.
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: nullcontext())
    model = build(config).train().to('meta')
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    for iteration in range(2):
        model.data_preprocessor.set_step(seed=0, rank=0, iteration=iteration)
        losses = model(**model.data_preprocessor(data, True), mode='loss')
        terms = [value for name, value in losses.items() if name.startswith('loss')]
        assert terms and all(value.device.type == 'meta' for value in losses.values())
        optimizer.zero_grad()
        sum(terms).backward()
        optimizer.step()
        model.update_teacher(iteration, 2)
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize('found', [None, torch.zeros((), device='meta')], ids=['free', 'judged'])
def test_a_step_of_socos_lars_reads_nothing_on_the_host_either(found):
    parameters = [torch.nn.Parameter(torch.ones(shape, device='meta')) for shape in ((3, 2), (4,))]
    optimizer = SoCoLARS(parameters, lr=0.1)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.found_inf = found
    optimizer.step()


def test_reading_and_mixing_are_noticed():
    there, here = torch.ones(2, device='meta'), torch.ones(2)
    for wrong in (
        lambda: there.sum().item(),
        lambda: there.tolist(),
        lambda: there.cpu(),
        lambda: there.nonzero(),
        lambda: bool(there.any()),
        lambda: there + here,
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wrong()
