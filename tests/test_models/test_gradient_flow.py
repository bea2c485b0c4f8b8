"""What a loss sends gradients to: never to the teacher, and with mixed embeddings not through the background."""

import pytest
import torch

from . import (
    test_leopart,
    test_maskalign,
    test_neco,
    test_paka,
    test_pixpro,
    test_plrc,
    test_resim,
    test_soco,
    test_soco_fpn,
)
from .conftest import BRANCH, NECK, RESNET, batch, build, densecl, losses_of
from .golden_models import ibot

GRID = {**BRANCH, 'ratio': 0.5, 'mask': {**BRANCH['mask'], 'grid': 2}}
MOCO = dict(type='MoCoV2', backbone=RESNET, queue_length=32, channels=16, neck=dict(NECK, type='mmpretrain.MoCoV2Neck'))


def total(losses: dict) -> torch.Tensor:
    return sum(value for name, value in losses.items() if name.startswith('loss'))


@pytest.mark.parametrize(
    'config, data',
    [
        (MOCO, batch()),
        (densecl(decoupling=GRID), batch()),
        (ibot(decoupling=GRID, visible_weight=1.0), batch()),
        (ibot(decoupling={**GRID, 'alignment': 'point_to_all'}), batch()),
        (test_maskalign.maskalign(decoupling=GRID), batch(views=1)),
        (test_soco.soco(decoupling=GRID), test_soco.data()),
        (test_soco.soco_fpn(), test_soco_fpn.fpn_data()),
        (test_leopart.leopart(decoupling=GRID, queue_length=16), test_leopart.data()),
        (test_neco.neco(decoupling=GRID), test_leopart.data()),
        (test_paka.paka(decoupling=GRID), test_leopart.data()),
        (test_pixpro.with_instance(test_pixpro.pixpro(decoupling=GRID)), test_pixpro.data()),
        (test_plrc.plrc(decoupling=GRID), test_plrc.data()),
        (test_resim.resim(decoupling=GRID), test_resim.data()),
    ],
    ids=[
        'MoCo v2',
        'DenseCL-D',
        'iBOT-D',
        'iBOT-D to all',
        'MaskAlign-D',
        'SoCo-D',
        'SoCo FPN',
        'Leopart-D',
        'NeCo-D',
        'PaKA-D',
        'PixPro-D',
        'PLRC-D',
        'ReSim-D',
    ],
)
def test_a_teacher_runs_without_a_graph_even_if_its_parameters_ask_for_gradients(config, data):
    model, outputs = build(config).train(), []
    model.teacher.requires_grad_(True)
    for module in model.teacher.backbone.modules():
        module.register_forward_hook(lambda _, __, out: outputs.append(out))
    total(losses_of(model, data)).backward()
    tensors = [out for out in outputs if isinstance(out, torch.Tensor)]
    assert tensors and not any(out.requires_grad for out in tensors)
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    assert any(p.grad is not None for p in model.backbone.parameters())


def test_measured_features_have_no_graph():
    model = build(densecl(measured='student')).eval()
    assert not model.dense_features(torch.randn(2, 3, 32, 32)).requires_grad


def test_mixing_embeddings_gives_the_losses_of_mixing_pixels_but_embeds_no_decoupled_view():
    seen, losses, gradients = {}, {}, {}
    for mixing in ('pixel', 'embedding'):
        model = build(ibot(decoupling={**GRID, 'mixing': mixing})).train()
        embed, seen[mixing] = model.backbone.patch_embed, []
        embed.register_forward_pre_hook(lambda _, args, seen=seen[mixing]: seen.append(len(args[0])))
        terms = losses_of(model, batch())
        (gradients[mixing],) = torch.autograd.grad(terms['loss_decoupling'], embed.projection.weight)
        losses[mixing] = {name: value.item() for name, value in terms.items()}
    assert seen == dict(pixel=[16 + 4], embedding=[16])
    assert losses['embedding'] == pytest.approx(losses['pixel'], rel=1e-5)
    # Through pixels the background gets a gradient too.
    assert not torch.allclose(*gradients.values(), rtol=1e-2, atol=0)
