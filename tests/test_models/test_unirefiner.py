"""UniRefiner against the authors' code (golden numbers), its adapters against mmpretrain's, and its checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.models.peft.lora import LoRALinear
from torch import nn

from mmdecouple.decoupling.foreign import foreign_similarity, is_spurious, relative_threshold
from mmdecouple.decoupling.regions import pool_regions
from mmdecouple.evaluation.measures import SpuriousShare
from mmdecouple.models import LoRA
from mmdecouple.models.foreign_crops import SIDES, Strip, draw_boxes
from mmdecouple.models.losses import (
    clean_contrast,
    clean_or_all,
    correlation_distillation,
    register_absorption,
    register_uniformity,
    sparsity_of,
)
from mmdecouple.models.register_border import split_border, with_border
from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.formats.vit import to_ours
from mmdecouple.weights.loading import load_weights

from .conftest import BRANCH, batch, begun, build, losses_of
from .golden import formula
from .golden.make_unirefiner import BATCH, CHANNELS, CROPS, FOREIGN, ROWS, SIZE, TOKENS, draws, unit
from .golden_models import VIT, load

GOLDEN = load('unirefiner')


def unirefiner(**kwargs) -> dict:
    """Config of a tiny UniRefiner for 32 pixel views: 4 x 4 patches."""
    return {**dict(type='UniRefiner', backbone=VIT), **kwargs}


@pytest.fixture
def data() -> dict:
    return batch(views=1)


def trained(data: dict, steps: int = 3, **kwargs) -> nn.Module:
    """A model whose adapters are not zero any more."""
    model = build(unirefiner(**kwargs)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for iteration in range(steps):
        optimizer.zero_grad()
        sum(value for name, value in losses_of(model, data, iteration).items() if name.startswith('loss')).backward()
        optimizer.step()
        model.update_teacher(iteration, steps)
    return model.eval()


def test_the_filters_are_those_of_the_authors_and_of_the_spurious_share():
    own, foreign = unit('own', ROWS, TOKENS, CHANNELS), unit('foreign', ROWS, FOREIGN, CHANNELS)
    similarity = foreign_similarity(own, foreign)
    for name, threshold in dict(deviations=relative_threshold(similarity, 0.5), cosine=0.5, registers=0.55).items():
        assert (~is_spurious(similarity, threshold)).int().tolist() == GOLDEN['filters'][name], name
    shares = [SpuriousShare()._share(mine, others) for mine, others in zip(own, foreign)]
    assert shares == pytest.approx([1 - sum(clean) / TOKENS for clean in GOLDEN['filters']['cosine']])
    scaled = foreign_similarity(3 * own, 5 * foreign)
    torch.testing.assert_close(scaled, similarity)


@pytest.mark.parametrize('case', ['some clean', 'none clean'])
def test_the_losses_of_given_tokens_are_those_of_the_authors(case):
    names = dict(crops=TOKENS, targets=TOKENS, registers=FOREIGN, spurious=FOREIGN, whole=TOKENS, images=TOKENS)
    tokens = {name: unit(name, ROWS, count, CHANNELS) for name, count in names.items()}
    tokens['crops'] = F.normalize(tokens['crops'] + tokens['targets'], dim=2)
    tokens['registers'] = F.normalize(tokens['registers'] + 2 * tokens['spurious'], dim=2)
    clean = formula.tensor('clean', (ROWS, TOKENS)) > -0.3
    clean = clean_or_all(clean if case == 'some clean' else torch.zeros_like(clean))
    sparsity = sparsity_of(tokens['targets'], clean)
    student = {key: tokens[key].clone().requires_grad_() for key in ('crops', 'registers', 'whole')}
    contrast = clean_contrast(student['crops'], tokens['targets'], tokens['images'], clean, sparsity, 0.2, 0.3)
    terms = dict(
        refine=contrast + register_uniformity(student['whole'], student['registers'], 0.2),
        absorption=register_absorption(student['registers'], student['crops'], tokens['spurious'], sparsity, 0.2),
        distillation=correlation_distillation(student['crops'], tokens['targets'], 0.2),
    )
    for term, value in terms.items():
        assert value.item() == pytest.approx(GOLDEN['losses'][case][term], rel=1e-5), term
        parts = torch.autograd.grad(value, [*student.values()], allow_unused=True, retain_graph=True)
        for key, part in zip(student, parts):
            expected = GOLDEN['losses'][case][f'gradient of {term}'][key]
            assert (part is None) == (expected is None), (term, key)
            if part is not None:
                torch.testing.assert_close(part.flatten(), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('side', SIDES)
def test_a_whole_step_is_that_of_the_authors(side):
    model = build(unirefiner(crops=CROPS, register_similarity=0.9, lora=dict(dropout=0.0))).train()
    for network, owner in ((model.backbone, 'student'), (model.teacher.backbone, 'teacher')):
        weights = formula.weights(owner, GOLDEN['weights'])
        weights['pos_embed'] = torch.zeros_like(weights['pos_embed'])
        network.load_state_dict(to_ours(weights).backbone)
    model.backbone.requires_grad_(True)
    model.update_teacher(4, 10)
    number = SIDES.index(side)
    step, drawn = begun(model, batch(BATCH, views=1)), draws(number)
    step.views = [formula.image(f'refined {number}', BATCH, SIZE)]
    boxes = drawn['boxes'].unflatten(0, (BATCH, CROPS))
    # The authors number the registers row by row.
    places = torch.arange(36).view(1, 36, 1)
    row_by_row = split_border(places, (4, 4), 1)[1].flatten().argsort()
    step.extras = step.extras._replace(
        boxes=boxes,
        crops=pool_regions(step.views[0], boxes, SIZE),
        partners=torch.arange(BATCH).roll(-1),
        strip=Strip(side, 2),
        detectors=row_by_row[drawn['detectors']],
        ranks=drawn['ranks'],
    )
    terms, expected = model.loss(step), GOLDEN['steps'][side]
    assert terms['clean_share'].item() == pytest.approx(expected['useful_ratio'])
    assert terms['loss_refine'].item() == pytest.approx(expected['nce_loss'], rel=1e-5)
    assert terms['loss_register'].item() == pytest.approx(0.1 * expected['align_reg'], rel=1e-5)
    assert terms['loss_scd'].item() == pytest.approx(0.4 * expected['loss_scd'], rel=1e-5)
    total = sum(value for name, value in terms.items() if name.startswith('loss'))
    assert total.item() == pytest.approx(expected['loss_final'], rel=1e-5)
    total.backward()
    names = to_ours(formula.weights('student', GOLDEN['weights'])).names
    watched = {theirs: ours.removeprefix('backbone.') for ours, theirs in names.items()}
    for theirs, gradient in expected['gradients'].items():
        found = model.backbone.get_parameter(watched[theirs]).grad.flatten()
        torch.testing.assert_close(found, torch.tensor(gradient), rtol=1e-4, atol=1e-5)


def test_sparsity_pairs_the_clean_tokens_from_both_ends():
    tokens = unit('tokens', 2, 5, 4)
    clean = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 0, 0, 1]]).bool()
    chosen = tokens[clean]
    expected = sum(chosen[i] @ chosen[len(chosen) - 1 - i] for i in range(len(chosen))) / len(chosen)
    assert sparsity_of(tokens, clean).item() == pytest.approx(expected.item(), rel=1e-6)


def test_an_update_is_that_of_mmpretrains_lora_and_merges_to_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4))
    theirs = [LoRALinear(nn.Linear(layer.in_features, layer.out_features), 16, 3, 0.0) for layer in network[::2]]
    ours = LoRA(network, rank=3, alpha=16, dropout=0.0)
    for update, layer, adapted in zip(ours.values(), network[::2], theirs):
        nn.init.normal_(update.up.weight)
        adapted.original_layer.load_state_dict(layer.state_dict())
        adapted.lora_down.load_state_dict(update.down.state_dict())
        adapted.lora_up.load_state_dict(update.up.state_dict())
    inputs = torch.randn(3, 7, 6)
    outputs = network(inputs)
    torch.testing.assert_close(outputs, theirs[1](F.gelu(theirs[0](inputs))))
    merged = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4))
    for index, update in zip((0, 2), ours.values()):
        merged[index].weight.data = network[index].weight + update.weight
        merged[index].bias.data = network[index].bias
    torch.testing.assert_close(merged(inputs), outputs)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_targets_choose_the_adapted_layers():
    model = MODELS.build(unirefiner(lora=dict(targets=['attn.qkv'])))
    assert list(model.lora.layers.values()) == ['layers.0.attn.qkv', 'layers.1.attn.qkv']
    assert len(MODELS.build(unirefiner()).lora) == 8
    with pytest.raises(UserError, match=r"'q_proj' matches no .*; .*attn.qkv.* \(config key model.lora.targets\)"):
        MODELS.build(unirefiner(lora=dict(targets=['attn.qkv', 'q_proj'])))


def test_training_starts_at_the_teacher_and_changes_the_updates_only(data):
    images = torch.randn(2, 3, 32, 32)
    model = build(unirefiner()).eval()
    assert torch.equal(model.dense_features(images), model.teacher.backbone.dense_map(images))
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    after = trained(data)
    frozen = (after.backbone, after.teacher.backbone)
    assert all(torch.equal(part.state_dict()[name], value) for part in frozen for name, value in before.items())
    assert all(update.up.weight.any() for update in after.lora.values())


def test_a_checkpoint_holds_the_refined_network_as_an_ordinary_vit(data):
    model, images = trained(data), torch.randn(2, 3, 32, 32)
    state = model.state_dict()
    assert not any(name.startswith('teacher.') for name in state)
    ordinary = MODELS.build(VIT)
    ordinary.load_state_dict(to_ours(dict(state_dict=state)).backbone)
    features = model.dense_features(images)
    ordinary.eval()
    torch.testing.assert_close(ordinary.dense_map(images), features, rtol=0, atol=1e-5)
    assert (features - model.teacher.backbone.dense_map(images)).abs().max() > 0.01


def test_a_loaded_checkpoint_has_the_bits_of_the_saved_model_and_its_teacher(data):
    model = trained(data)
    state = model.state_dict()
    again = build(unirefiner(), seed=7)
    again.load_state_dict(state, strict=False)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in state.items())
    for first, second in ((model.backbone, again.backbone), (model.teacher, again.teacher)):
        assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters()))


@pytest.mark.parametrize('other', [dict(rank=4), dict(alpha=64), dict(targets=['attn.qkv'])], ids=str)
def test_a_checkpoint_is_refused_by_a_model_with_other_updates(other, data):
    first, second = trained(data), trained(data, lora=dict(targets=['attn.qkv']))
    with pytest.raises(UserError, match='another rank, alpha, or other layers'):
        load_weights(build(unirefiner(lora=other)), dict(state_dict=first.state_dict()), 'run.pth')
    with pytest.raises(UserError, match='another rank, alpha, or other layers'):
        load_weights(build(unirefiner()), dict(state_dict=second.state_dict()), 'run.pth')
    half = {key: value.bfloat16() for key, value in first.state_dict().items()}
    build(unirefiner()).load_state_dict(half, strict=False)


def test_plain_weights_become_the_network_that_is_refined():
    source = build(VIT, seed=3)
    model = build(unirefiner())
    model.load_state_dict({f'backbone.{name}': value for name, value in source.state_dict().items()}, strict=False)
    images = torch.randn(2, 3, 32, 32)
    source.eval()
    expected = source.dense_map(images)
    assert torch.equal(model.eval().dense_features(images), expected)
    assert torch.equal(model.teacher.backbone.dense_map(images), expected)


def test_correlation_distillation_counts_after_its_start(data):
    model = build(unirefiner(scd_start=0.1)).train()
    model.update_teacher(0, 10)
    assert losses_of(model, data)['loss_scd'] == 0
    model.update_teacher(1, 10)
    assert losses_of(model, data)['loss_scd'] > 0


def test_the_branch_shows_the_student_foreign_content_inside_the_border(data):
    grid = {**BRANCH, 'ratio': 0.5, 'mask': {**BRANCH['mask'], 'grid': 2}}
    base, decoupled = (build(unirefiner(lora=dict(dropout=0.0), **kw)).train() for kw in ({}, dict(decoupling=grid)))
    seen = []
    decoupled.backbone.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    terms, without = losses_of(decoupled, data), losses_of(base, data)
    assert seen == [(8 + 4, 3, 48, 48), (24, 3, 96, 96)]
    for name in ('loss_refine', 'loss_register'):
        assert terms[name].item() == pytest.approx(0.7 * without[name].item(), rel=1e-5)
    # At the start, only the foreign content and the border tell student and teacher apart.
    assert 0 < terms['decoupling'].item() < 5


def test_a_measured_border_is_read_from_inside():
    model = build(unirefiner(measured_border=2)).eval()
    images = torch.randn(2, 3, 32, 32)
    whole = model.backbone.dense_map(F.pad(images, (16,) * 4))
    assert torch.equal(model.dense_features(images), whole[:, :, 2:-2, 2:-2])
    assert model.dense_features(images, class_token=True).shape == (2, 32, 1, 1)


def test_a_single_image_has_no_foreign_strip(data):
    with pytest.raises(UserError, match='at least 2 images per device .config key train_dataloader.batch_size'):
        losses_of(build(unirefiner()), batch(size=1, views=1))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.floats(0.05, 0.4), st.floats(1.0, 2.0))
def test_crops_lie_inside_and_have_the_given_areas_and_shapes(seed, low, longest):
    boxes = draw_boxes((5, 4), (low, 0.5), (1 / longest, longest), torch.Generator().manual_seed(seed))
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    assert boxes.min() >= 0 and boxes.max() <= 1 + 1e-6
    assert (low - 1e-5 <= width * height).all() and (width * height <= 0.5 + 1e-5).all()
    assert (1 / longest - 1e-4 <= width / height).all() and (width / height <= longest + 1e-4).all()


@pytest.mark.parametrize('side', SIDES)
def test_a_strip_is_the_side_of_the_foreign_image_and_its_tokens_are_found_again(side):
    crops, foreign = (formula.tensor(name, (2, 3, 8, 8)) for name in ('crops', 'foreign'))
    strip = Strip(side, 2)
    images = strip.beside(crops, foreign, patch=2)
    tokens = F.unfold(images, 2, stride=2).transpose(1, 2)
    own, others = strip.split(tokens, (4, 4))
    assert torch.equal(own, F.unfold(crops, 2, stride=2).transpose(1, 2))
    part = dict(left=foreign[..., :4], right=foreign[..., 4:], top=foreign[:, :, :4], bottom=foreign[:, :, 4:])[side]
    assert torch.equal(others, F.unfold(part, 2, stride=2).transpose(1, 2))


def test_a_border_surrounds_the_image_with_zeros_and_is_separated_again():
    images = formula.tensor('images', (2, 3, 8, 12))
    tokens = F.unfold(with_border(images, 1, 4), 4, stride=4).transpose(1, 2)
    image, registers = split_border(tokens, (2, 3), 1)
    assert torch.equal(image, F.unfold(images, 4, stride=4).transpose(1, 2))
    assert registers.shape == (2, 14, 48) and not registers.any()


def test_a_patch_that_does_not_divide_the_view_is_refused_with_the_size_of_the_view(data):
    data = {**data, 'inputs': [torch.nn.functional.pad(view, (0, 4, 0, 4)) for view in data['inputs']]}
    with pytest.raises(UserError, match='does not divide a view of 36 x 36 pixels'):
        losses_of(build(unirefiner()).train(), data)


def test_the_width_of_a_strip_is_even_and_fits():
    widths = [Strip.draw(patches, 0.35, torch.Generator()).width for patches in (2, 4, 6, 14, 28, 37)]
    assert widths == [2, 2, 2, 4, 10, 12]
    assert Strip.draw(5, 1.0, torch.Generator()).width == 5
