"""Further terms of a loss: Gram anchoring against its formula, and what a method without active terms pays for them."""

import pytest
import torch
from torchvision.transforms.v2 import functional as images

from mmdecouple.models import DenseAlgorithm
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats import resnet, vit

from . import test_leopart, test_maskalign, test_neco, test_paka, test_pixpro, test_plrc, test_resim, test_soco
from .conftest import BRANCH, NECK, batch, begun, build, densecl, forwarded, losses_of
from .golden_models import VIT, ibot
from .test_gradient_flow import MOCO

GRID = {**BRANCH, 'ratio': 0.5, 'mask': {**BRANCH['mask'], 'grid': 2}}
GRAM = dict(type='GramAnchoring', weight=2.0)


def moved(model: DenseAlgorithm) -> DenseAlgorithm:
    """The model with another student than the one it started with."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def by_hand(student: torch.Tensor, target: torch.Tensor) -> float:
    """The mean of the squared differences of cosines, pair by pair, in float64."""
    cosine, total, count = torch.nn.functional.cosine_similarity, 0.0, 0
    for x, g in zip(student.double(), target.double(), strict=True):
        for i in range(len(x)):
            total += (cosine(x[i], x, dim=1) - cosine(g[i], g, dim=1)).square().sum().item()
            count += len(x)
    return total / count


def test_two_terms_of_one_class_both_count(data):
    model = moved(build(ibot(terms=[GRAM, {**GRAM, 'weight': 3.0}])).train())
    step = forwarded(model, begun(model, data))
    found = model.terms(step, model)
    assert found.keys() == {'loss_gram', 'loss_gram_term2'}
    assert found['loss_gram_term2'].item() == pytest.approx(1.5 * found['loss_gram'].item()) and found['loss_gram'] > 0
    with pytest.raises(UserError, match=r'terms\[0\].type must be a LossTerm'):
        build(ibot(terms=[dict(type='DINOHead', in_channels=16)]))


@pytest.mark.parametrize('scale', [1, 2])
def test_gram_anchoring_is_the_mean_squared_difference_of_the_cosines_of_all_pairs(data, scale):
    model = build(ibot(terms=[{**GRAM, 'scale': scale}], decoupling=GRID)).train()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    moved(model)
    step = forwarded(model, begun(model, data))
    views = torch.cat(step.views)
    masked = step.extras.mask
    assert masked.any()
    student = model.backbone(views, masked)[0][:, 1:]
    model.backbone.load_state_dict(before)
    if scale == 2:
        size, bicubic = [2 * side for side in views.shape[-2:]], images.InterpolationMode.BICUBIC
        views = images.resize(views, size, interpolation=bicubic, antialias=False)
    target = model.backbone(views)[0][:, 1:].transpose(1, 2).unflatten(2, (4 * scale, 4 * scale))
    if scale == 2:
        target = images.resize(target, [4, 4], interpolation=bicubic, antialias=False)
    expected = 2.0 * by_hand(student, target.flatten(2).transpose(1, 2))
    assert model.terms(step, model)['loss_gram'].item() == pytest.approx(expected, rel=1e-4) and expected > 1e-4


def trained(config: dict, data: dict, steps: int = 4) -> tuple[dict, list]:
    """Weights and losses of a few steps with weight decay and a teacher that follows."""
    model = build(config).train()
    optimizer, losses = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3), []
    for iteration in range(steps):
        terms = losses_of(model, data, iteration)
        optimizer.zero_grad()
        sum(value for name, value in terms.items() if name.startswith('loss')).backward()
        optimizer.step()
        model.update_teacher(iteration, steps)
        losses.append({name: value.item() for name, value in terms.items()})
    return {name: value for name, value in model.state_dict().items() if not name.startswith('terms.')}, losses


@pytest.mark.parametrize('config', [ibot(backbone=dict(VIT, mask_token=True, drop_path_rate=0.3)), densecl()])
def test_weights_of_zero_and_terms_that_have_not_begun_are_the_base_method_to_the_bit(data, config):
    base, losses = trained(config, data)
    off = dict(decoupling={**GRID, 'loss_weight': 0.0}, terms=[{**GRAM, 'weight': 0.0}, {**GRAM, 'start_epoch': 1}])
    others, other_losses = trained({**config, **off}, data)
    assert other_losses == losses
    assert all(torch.equal(others[name], value) for name, value in base.items()) and others.keys() == base.keys()


def test_a_term_adds_to_the_losses_of_the_branch_and_changes_no_draw(data):
    plain = losses_of(build(ibot(decoupling=GRID)).train(), data)
    anchored = losses_of(build(ibot(decoupling=GRID, terms=[GRAM])).train(), data)
    assert set(anchored) - set(plain) == {'loss_gram'}
    for name, value in plain.items():
        assert anchored[name].item() == pytest.approx(value.item(), rel=1e-5), name


@pytest.mark.parametrize(
    'config, data',
    [
        (ibot(), batch()),
        (densecl(), batch()),
        (MOCO, batch()),
        (test_leopart.leopart(), test_leopart.data()),
        (test_plrc.plrc(), test_plrc.data()),
        (test_pixpro.pixpro(), test_pixpro.data()),
        (test_resim.resim(), test_resim.data()),
        (test_neco.neco(), test_leopart.data()),
        (test_paka.paka(), test_leopart.data()),
    ],
    ids=['iBOT', 'DenseCL', 'MoCo v2', 'Leopart', 'PLRC', 'PixPro', 'ReSim', 'NeCo', 'PaKA'],
)
def test_the_student_of_a_method_is_anchored_to_its_first_teacher(config, data):
    model = build({**config, 'terms': [GRAM]})
    # In evaluation mode both backbones are the same function, and masks of iBOT are the only difference.
    model.eval()
    model.mim_share = 0.0
    assert losses_of(model, data)['loss_gram'].item() < 1e-6
    (gram,) = moved(model).terms
    loss = losses_of(model, data)['loss_gram']
    assert loss.item() > 1e-6
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in model.backbone.parameters())
    assert all(p.grad is None and not p.requires_grad for p in (*gram.parameters(), *model.teacher.parameters()))
    assert not any(module.training for module in model.train().terms[0].modules())


@pytest.mark.parametrize('config', [test_soco.soco(), test_soco.soco_fpn(), test_maskalign.maskalign()])
def test_a_method_without_features_of_whole_views_refuses_the_term(config):
    with pytest.raises(UserError, match=r'GramAnchoring reads .*; remove the term .config key model.terms\[0\].type'):
        MODELS.build({**config, 'terms': [GRAM]})


def test_the_gram_teacher_is_replaced_when_it_is_due_and_is_kept_in_checkpoints():
    model = moved(build(ibot(terms=[{**GRAM, 'start_epoch': 1, 'refresh_epochs': 2}], teacher=dict(momentum=0.5))))
    (gram,) = model.terms
    teachers, active = [gram.backbone.ln1.weight.clone()], []
    for epoch in range(5):
        model.start_epoch(epoch)
        active.append(gram.active)
        model.update_teacher(0, 10)
        teachers.append(model.teacher.backbone.ln1.weight.clone())
        assert not torch.equal(teachers[-1], teachers[-2])
        # Replaced before epochs 1 and 3, by the teachers of these times.
        assert torch.equal(gram.backbone.ln1.weight, teachers[(0, 1, 1, 3, 3)[epoch]])
        model.end_epoch(epoch)
    assert active == [False, True, True, True, True]
    teacher = teachers[-1]
    assert torch.equal(model.state_dict()['terms.0.backbone.ln1.weight'], teacher)
    resumed = build(ibot(terms=[GRAM]), seed=1)
    resumed.load_state_dict(model.state_dict())
    assert torch.equal(resumed.terms[0].backbone.ln1.weight, teacher)


def test_the_gram_teacher_starts_with_the_weights_of_the_file(tmp_path):
    source = build(ibot(), seed=5).backbone
    torch.save({f'backbone.{name}': value for name, value in source.state_dict().items()}, tmp_path / 'vit.pth')
    model = build(ibot(backbone=dict(VIT, mask_token=True, weights=str(tmp_path / 'vit.pth')), terms=[GRAM]))
    for backbone in (model.backbone, model.teacher.backbone, model.terms[0].backbone):
        assert all(torch.equal(backbone.state_dict()[name], value) for name, value in source.state_dict().items())


@pytest.mark.parametrize('role', ['teacher', 'student'])
def test_checkpoints_with_a_gram_teacher_hold_two_networks(role):
    model = build(ibot(terms=[GRAM]))
    moved(model)
    network = model.teacher.backbone if role == 'teacher' else model.backbone
    read = vit.to_ours(model.state_dict(), role).backbone
    assert read.keys() == network.state_dict().keys()
    assert all(torch.equal(read[name], value) for name, value in network.state_dict().items())


def test_a_resnet_with_a_gram_teacher_is_read_like_one_without():
    config = densecl(backbone=dict(type='mmpretrain.ResNet', depth=18), neck=dict(NECK, in_channels=512))
    plain, anchored = (resnet.to_ours(build({**config, 'terms': terms}).state_dict()) for terms in ([], [GRAM]))
    assert anchored.state.keys() == plain.state.keys()
    assert all(torch.equal(anchored.state[name], value) for name, value in plain.state.items())


def test_under_bf16_the_gram_matrices_are_float32(data):
    model = moved(build(ibot(terms=[GRAM]))).train()
    exact = losses_of(model, data)['loss_gram']
    with torch.autocast('cpu', torch.bfloat16):
        rounded = losses_of(model, data)['loss_gram']
    assert rounded.dtype == torch.float32 and rounded.item() != exact.item()
    assert rounded.item() == pytest.approx(exact.item(), rel=0.05)
