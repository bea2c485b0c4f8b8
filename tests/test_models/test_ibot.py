"""iBOT and iBOT-D against the authors' code (golden numbers) and against the contracts of the package."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from mmdecouple.decoupling import DecoupledViews, PositionSet
from mmdecouple.models import Samples, Step
from mmdecouple.models.algorithms.ibot import MIMMasks
from mmdecouple.models.mask_distance import distance_weights

from .conftest import BRANCH, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import golden_ibot, ibot, load, official_norms, released_views

GOLDEN, RELEASE = load('ibot'), load('ibot_release')
BRANCH = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}


def masked_step(views: list[torch.Tensor], masks, decoupled: DecoupledViews | None = None) -> Step:
    """A step with given masks of both views, and given decoupled views."""
    return Step(
        views,
        Samples(),
        extras=MIMMasks.of(torch.cat([formula.from_text(view) for view in masks])),
        decoupled=decoupled,
    )


def case_views(batch_size: int, step: int = 0, local_views: int = 0) -> list[torch.Tensor]:
    views = [formula.image(f'view {v} step {step}', batch_size, 32) for v in range(2)]
    return views + [formula.image(f'local {v} step {step}', batch_size, 16) for v in range(local_views)]


@pytest.mark.parametrize('name', list(GOLDEN['cases']))
def test_losses_and_gradients_equal_the_official_ones(name):
    case = GOLDEN['cases'][name]
    model = golden_ibot(GOLDEN, case['flat positions'], local_views=case['locals'])
    model.start_epoch(case['epoch'])
    losses = model.loss(masked_step(case_views(4, 0, case['locals']), case['masks']))
    assert losses['loss_class'].item() == pytest.approx(case['cls'], rel=1e-5)
    assert losses['loss_patch'].item() == pytest.approx(case['patch'], rel=1e-5)
    sum(losses.values()).backward()
    expected = case['gradient norms']
    assert official_norms(model, expected) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert all(p.grad is None for p in model.teacher.parameters())


def test_centers_and_losses_over_three_steps_equal_the_official_ones():
    steps = GOLDEN['three steps, epoch 12']
    model = golden_ibot(GOLDEN)
    model.start_epoch(12)
    for step, (masks, terms) in enumerate(zip(steps['masks'], steps['terms'])):
        losses = model.loss(masked_step(case_views(4, step), masks))
        assert losses['loss_class'].item() == pytest.approx(terms['cls'], rel=1e-5)
        assert losses['loss_patch'].item() == pytest.approx(terms['patch'], rel=1e-5)
    for center, name in ((model.class_center, 'class center'), (model.patch_center, 'patch center')):
        torch.testing.assert_close(center.value, torch.tensor(steps[name]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('mixing', ['embedding', 'pixel'])
def test_the_released_step_equals_the_official_one(mixing):
    model = golden_ibot(RELEASE, decoupling={**BRANCH, 'weighting': 'additive', 'mixing': mixing})
    model.class_center.value.copy_(formula.tensor('class center', (24,), 0.1))
    model.patch_center.value.copy_(formula.tensor('patch center', (24,), 0.1))
    model.start_epoch(RELEASE['epoch'])
    views = [view.requires_grad_() for view in case_views(8)]
    losses = model.loss(masked_step(views, RELEASE['mim masks'], released_views(RELEASE, views, mixing)))
    for ours, theirs in (('loss_class', 'cls'), ('loss_patch', 'patch'), ('decoupling', 'dc')):
        assert losses[ours].item() == pytest.approx(RELEASE[theirs], rel=1e-5)
    total = losses['loss_class'] + losses['loss_patch'] + losses['loss_decoupling']
    assert total.item() == pytest.approx(RELEASE['loss'], rel=1e-5)
    losses['loss_decoupling'].backward(retain_graph=True)
    by_row = torch.cat([view.grad for view in views]).flatten(1).norm(dim=1) / 0.3
    expected = torch.tensor(RELEASE['gradient norms of dc by row of the stacked key views'])
    foreground, background = expected > 0, expected == 0
    torch.testing.assert_close(by_row[foreground], expected[foreground], rtol=1e-4, atol=1e-6)
    assert bool((by_row[background] == 0).all()) == (mixing == 'embedding')
    if mixing == 'embedding':
        model.zero_grad()
        total.backward()
        expected = RELEASE['gradient norms of loss']
        assert official_norms(model, expected) == pytest.approx(expected, rel=1e-4)


def test_mixed_patch_embeddings_are_the_embeddings_of_mixed_pixels():
    model = golden_ibot(RELEASE).eval()
    views = case_views(8)
    pixel, embedding = (released_views(RELEASE, views, mixing) for mixing in ('pixel', 'embedding'))
    mixed, _ = model.backbone.tokens(torch.cat(views), mixed=embedding)
    alone, _ = model.backbone.tokens(pixel.images)
    torch.testing.assert_close(mixed[16:], alone)


def test_patch_loss_over_all_cells_of_an_unmixed_view_is_the_decoupling_loss():
    none = formula.to_text(torch.zeros(4, 4, 4, dtype=torch.bool))
    model = golden_ibot(GOLDEN, visible_weight=1.0, decoupling={**BRANCH, 'loss_weight': 0.5})
    views = case_views(4)
    made = model.decoupling.compose(views, (4, 4), torch.Generator().manual_seed(0))
    rows = torch.arange(8)
    clean = made._replace(
        images=torch.cat(views),
        cut_mask=torch.zeros(8, 4, 4, dtype=torch.bool),
        rows=rows,
        partners=rows,
        foreground=PositionSet.of(torch.ones(8, 16)),
    )
    losses = model.loss(masked_step(views, [none, none], clean))
    assert losses['loss_decoupling'].item() == pytest.approx(losses['loss_visible'].item(), rel=1e-5)
    assert losses['loss_patch'].item() == 0


def test_visible_patches_weigh_by_the_root_of_their_distance_to_the_mask():
    mask = torch.zeros(3, 2, 4, dtype=torch.bool)
    mask[0, 0, 0] = True
    mask[2] = True
    # Distances to the corner: 1, 2, 3 in its row, 1, sqrt(2), sqrt(5), sqrt(10) in the next one.
    distances = torch.tensor([1, 2, 3, 1, 2**0.5, 5**0.5, 10**0.5])
    weight = distances**-0.5
    expected = torch.cat([torch.zeros(1), weight * 7 / weight.sum()])
    torch.testing.assert_close(distance_weights(mask), torch.stack([expected, torch.ones(8), torch.zeros(8)]))


@given(arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)), elements=st.booleans()))
@settings(max_examples=60, deadline=None)
def test_distances_to_the_mask_are_those_of_scipy(masks):
    for mask, found in zip(masks, distance_weights(torch.from_numpy(masks))):
        if not mask.any() or mask.all():
            continue
        weight = np.where(mask, 0, distance_transform_edt(~mask).clip(1) ** -0.5).ravel()
        np.testing.assert_allclose(found, weight * (~mask).sum() / weight.sum(), rtol=1e-5)


def test_visible_loss_by_distance_is_the_weighted_mean_of_the_losses_of_the_patches(data):
    model = build(ibot(visible_weight=0.7, visible_by_distance=True, mim_share=0.5)).train()
    step = forwarded(model, begun(model, data))
    patches, target = step.student['dense'], model.dense_target(step.teacher['dense'].flatten(0, 1))
    losses = model.dense_loss(patches.flatten(0, 1), target).view(patches.shape[:2]).double()
    centers, expected = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)), 0
    for view, mask in enumerate(step.extras.mask.flatten(1)):
        distance = torch.cdist(centers[~mask], centers[mask]).amin(1) if mask.any() else torch.ones(len(mask))
        expected += ((losses[view, ~mask] / distance.sqrt()).sum() / distance.rsqrt().sum()).item() / len(patches)
    assert model.base_loss(step)['loss_visible'].item() == pytest.approx(0.7 * expected, rel=1e-5)


def test_visible_weight_averages_the_visible_patches_by_themselves(data):
    model = build(ibot(visible_weight=0.7, mim_share=1.0)).train()
    step = forwarded(model, begun(model, data))
    target = model.dense_target(step.teacher['dense'].flatten(0, 1))
    logits = model.neck(step.student['dense'].flatten(0, 1)) / model.student_temperature
    cross_entropy = -(target * F.log_softmax(logits, 1)).sum(1).view(16, 16)
    visible = ~step.extras.mask.flatten(1)
    by_hand = torch.stack([row[seen].mean() for row, seen in zip(cross_entropy, visible)]).mean()
    assert model.base_loss(step)['loss_visible'].item() == pytest.approx(0.7 * by_hand.item(), rel=1e-5)


def test_lambda_zero_is_the_base_method_bit_for_bit(data):
    runs = {}
    for name, branch in (('base', None), ('zero', {**BRANCH, 'loss_weight': 0.0})):
        model = build(ibot(decoupling=branch, backbone={**ibot()['backbone'], 'drop_path_rate': 0.2})).train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
        for step in range(3):
            losses = losses_of(model, data, step)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            model.update_teacher(step, 3)
        runs[name] = (losses, model.state_dict())
    assert runs['base'][0].keys() == runs['zero'][0].keys()
    for key, value in runs['base'][1].items():
        assert torch.equal(value, runs['zero'][1][key]), key


def test_the_branch_leaves_masks_teacher_and_centers_as_in_the_base_method(data):
    runs = []
    for branch in (None, {**BRANCH, 'ratio': 1.0}):
        model = build(ibot(decoupling=branch)).train()
        seen = []
        model.teacher.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        model.data_preprocessor.set_step(0, 0, 3)
        step = begun(model, data)
        model.loss(step)
        assert len(seen) == 1 and torch.equal(seen[0], torch.cat(step.views))
        runs.append((step.extras.mask, model.class_center.value, model.patch_center.value))
    assert all(torch.equal(a, b) for a, b in zip(*runs))
    assert runs[0][0].any() and runs[0][1].any() and runs[0][2].any()


def test_the_patch_center_is_the_mean_logit_of_all_clean_tokens(data):
    model = build(ibot()).train()
    prepared = model.data_preprocessor(data, True)
    teacher = copy.deepcopy(model.teacher)
    model(**prepared, mode='loss')
    (tokens,) = teacher.backbone(torch.cat(prepared['inputs']))
    torch.testing.assert_close(model.patch_center.value, 0.1 * teacher.neck(tokens[:, 1:]).mean((0, 1)))
    torch.testing.assert_close(model.class_center.value, 0.1 * teacher.neck(tokens[:, 0]).mean(0))


def test_needed_tokens_come_out_as_in_a_whole_pass_and_no_others():
    model = golden_ibot(GOLDEN)
    images, mask = case_views(4)[0], formula.cells('needed', 4, 4, 0.3)
    (whole,) = model.backbone(images, mask)
    needed = torch.tensor([0, 3, 16, 17, 40, 67])
    (some,) = model.backbone(images, mask, needed=needed)
    torch.testing.assert_close(some.flatten(0, 1)[needed], whole.flatten(0, 1)[needed])
    rest = torch.ones(68, dtype=torch.bool)
    rest[needed] = False
    assert not some.flatten(0, 1)[rest].any()


def test_stochastic_depth_drops_whole_images_also_in_a_partial_pass():
    model = build(ibot()).train()
    layer = model.backbone.layers[-1]
    layer.ffn.dropout_layer.drop_prob = 0.5
    layer.ffn.layers[1].bias.data.fill_(1.0)
    tokens = torch.zeros(400, 17, 32)
    layer.attn.forward = lambda tokens, rotation: torch.zeros_like(tokens)
    out = layer.forward_needed(tokens, torch.arange(400 * 17)).unflatten(0, (400, 17))
    kept = (out != 0).flatten(1)
    assert bool((kept.all(1) | ~kept.any(1)).all())
    assert kept.all(1).float().mean().item() == pytest.approx(0.5, abs=0.08)
    torch.testing.assert_close(out[kept.all(1)][0, 0], 2 * layer.ffn.layers(layer.ln2(tokens[0, :1]))[0])


def test_the_teacher_has_no_stochastic_depth_and_weight_norm_survives_its_copy():
    model = build(ibot(backbone={**ibot()['backbone'], 'drop_path_rate': 0.5})).train()
    tokens = [model.teacher.backbone(case_views(2)[0])[0] for _ in range(2)]
    assert torch.equal(*tokens)
    student = [model.backbone(case_views(2)[0])[0] for _ in range(2)]
    assert not torch.equal(*student)
    copied = copy.deepcopy(model)
    copied.neck.last_layer.parametrizations.weight.original0.data.mul_(2)
    feature = torch.randn(3, 32)
    torch.testing.assert_close(copied.neck(feature), 2 * model.neck(feature))


@pytest.mark.parametrize(
    'epochs, norm_last_layer, held', [(1, False, [2, 0, 0]), (2, True, [1, 1, 0]), (0, False, [0, 0, 0])]
)
def test_the_last_layer_is_frozen_for_the_first_epochs_of_the_run(epochs, norm_last_layer, held):
    model = build(ibot(neck=dict(ibot()['neck'], norm_last_layer=norm_last_layer, freeze_last_layer=epochs)))
    layer = {id(p) for p in model.neck.last_layer.parameters()}
    assert [len(model.frozen(epoch)) for epoch in range(3)] == held
    assert all(id(p) in layer and p.requires_grad for epoch in range(3) for p in model.frozen(epoch))


@pytest.mark.parametrize(
    'epoch, temperature', [(0, 0.04), (1, 0.0410344828), (28, 0.0689655172), (29, 0.07), (99, 0.07)]
)
def test_the_teacher_temperature_follows_the_absolute_epoch(epoch, temperature):
    model = build(ibot())
    model.start_epoch(epoch)
    assert model.teacher_temperature.value.item() == pytest.approx(temperature, rel=1e-6)


def test_twenty_steps_towards_fixed_targets_lower_every_term(data):
    model = build(ibot(decoupling=BRANCH, teacher=dict(momentum=1.0), center_momentum=1.0)).train()
    model.backbone.init_weights()
    model.neck.init_weights()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    values = []
    for _ in range(20):
        losses = losses_of(model, data, 0)
        terms = {name: value for name, value in losses.items() if name.startswith('loss')}
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        values.append({name: value.item() for name, value in terms.items()})
    assert all(values[-1][name] < 0.8 * first for name, first in values[0].items())


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(local_views=4), r'takes 6 views of an image, but the batch has 2 .*model\.local_views'),
        (dict(mim_share=1.5), r'mim_share must lie in \[0, 1\], got 1\.5.*model\.mim_share'),
        (
            dict(backbone=dict(ibot()['backbone'], mask_token=False)),
            r'mask_token must be True .*model\.backbone\.mask_token',
        ),
        (dict(backbone=dict(ibot()['backbone'], arch='small')), r"ViT-S is 'deit-small'"),
        (dict(backbone=dict(ibot()['backbone'], img_size=36)), r'patch of 8 pixels does not divide a view of 36 x 36'),
        (dict(mim_mask=dict(type='Blockwise', cut_ratio=2)), r'cut_ratio.*model\.mim_mask\.cut_ratio'),
    ],
)
def test_bad_settings_give_one_line(data, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        losses_of(build(ibot(**options)), data)
    assert '\n' not in str(caught.value)


def test_views_and_masks_that_miss_the_token_grid_are_refused():
    model = build(ibot())
    with pytest.raises(ValueError, match='patch of 8 pixels does not divide a view of 36 x 36'):
        losses_of(model, batch(pixels=36))
    with pytest.raises(ValueError, match='mask of 2 x 2 cells is not on the grid of 4 x 4 tokens'):
        model.backbone(case_views(2)[0], torch.ones(2, 2, 2, dtype=torch.bool))
