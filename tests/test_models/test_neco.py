"""NeCo and NeCo-D against the authors' code (golden numbers), and sorting against exact sorts."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmdecouple.models import Samples, Step
from mmdecouple.models.losses import NeighborOrder, SoftSort, is_sorting
from mmdecouple.weights.formats.vit import to_ours

from .conftest import BRANCH, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import load
from .test_leopart import data, geometry_of, leopart

GOLDEN = load('neco')
BRANCH = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}
HEAD = dict(type='ProjectionHead', in_channels=32, hidden_channels=48, out_channels=16)


def neco(**kwargs) -> dict:
    """Config of the golden file's NeCo: views of 56 and 24 pixels, patches of 8."""
    return {**dict(type='NeCo', local_views=2, backbone=leopart()['backbone'], neck=HEAD), **kwargs}


def with_official_references(model):
    """References as in the authors' code without a queue: the bins of the pair, in the order of the recipe."""

    def bins_loss(student, teacher, step, key):
        rows = teacher.flatten(0, 1)
        references = rows[torch.arange(len(rows)) * 37 % len(rows)].view_as(teacher)
        order = NeighborOrder(references, model.sort)
        return order.dense_loss(student, order.dense_target(teacher))

    model.bins_loss = bins_loss
    return model


@pytest.mark.parametrize('size', [3, 8, 49])
def test_sorts_equal_those_of_the_official_library(size):
    values, case = formula.tensor(f'values {size}', (2, size), 0.5).double(), GOLDEN['sorts'][str(size)]
    matrix = SoftSort(size, 100.0)(values)
    expected = dict(dtype=torch.float64)
    torch.testing.assert_close((values[:, None] @ matrix)[:, 0], torch.tensor(case['sorted'], **expected))
    direction = formula.tensor(f'direction {size}', (2, size, size)).double()
    torch.testing.assert_close((matrix * direction).sum((1, 2)), torch.tensor(case['matrix by direction'], **expected))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 70), st.integers(0, 2**31))
def test_a_steep_sort_is_the_exact_one_and_every_sort_is_doubly_stochastic(size, seed):
    # Distinct values at least 0.1 apart.
    assume(is_sorting(size))
    values = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).double()[None] * 0.1
    matrix = SoftSort(size, 1e12)(values)
    assert torch.equal((matrix > 0.5).double(), F.one_hot(values[0].argsort().argsort(), size).double()[None])
    soft = SoftSort(size, 3.0)(values)
    assert (soft > 0).all()
    for axis in (1, 2):
        torch.testing.assert_close(soft.sum(axis), torch.ones(1, size, dtype=torch.float64))


def test_sizes_that_the_network_does_not_sort_are_refused():
    # The zero-one principle: a network that sorts all inputs of zeros and ones sorts everything.
    for size in range(2, 13):
        inputs = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * size)
        ranked = (inputs[:, None] @ SoftSort(size, 1e12)(inputs))[:, 0]
        assert is_sorting(size) and torch.allclose(ranked, inputs.sort(1).values, atol=1e-4)
    refused = [size for size in range(2, 65) if not is_sorting(size)]
    assert refused == [22, 38, 42, 43, 44, 45, 46, 54]
    with pytest.raises(ValueError, match=r'NeCo: references must be a number that the network sorts.*, got 42'):
        build(neco(references=42))


def test_order_of_two_references_is_the_binary_cross_entropy_of_the_difference_of_cosines():
    torch.manual_seed(0)
    references, student, teacher = torch.randn(2, 5), torch.randn(4, 5), torch.randn(4, 5)
    order = NeighborOrder(references, SoftSort(2, 100.0))

    def first(features):
        cosine = F.cosine_similarity(features[:, None].double(), references.double(), dim=2)
        return 0.5 + torch.atan(100 * (cosine[:, 1] - cosine[:, 0])) / torch.pi

    p, q = first(student), first(teacher)
    expected = -(q * p.log() + (1 - q) * (1 - p).log())
    torch.testing.assert_close(
        order.dense_loss(student, order.dense_target(teacher)).double(), expected, rtol=1e-4, atol=1e-5
    )


def test_loss_of_given_outputs_equals_the_official_one():
    case, model = GOLDEN['loss of given outputs'], with_official_references(build(neco()))
    shapes = dict(teacher=(196, 16), globals=(196, 16), locals=(36, 16))
    given_rows = {
        name: F.normalize(formula.tensor(f'neco {name}', shape), dim=1).view(4, -1, 16).requires_grad_()
        for name, shape in shapes.items()
    }
    views = [torch.empty(2, 3, side, side) for side in (56, 56, 24, 24)]
    step = Step(
        views,
        Samples(),
        geometry=geometry_of(case['windows']),
        teacher={'dense': given_rows['teacher'].detach()},
        student={'dense': given_rows['globals'], 'local': given_rows['locals']},
    )
    loss = model.base_loss(step)['loss_overlap']
    assert loss.item() == pytest.approx(case['loss'], rel=1e-4)
    loss.backward()
    norms = [part.norm().item() for name in ('globals', 'locals') for part in given_rows[name].grad.chunk(2)]
    assert norms == pytest.approx(case['gradient norms by student view'], rel=1e-3)


def test_a_whole_step_equals_the_official_one():
    case, model = GOLDEN['whole step'], with_official_references(build(neco()).train())
    for owner, prefix in (('student', ''), ('teacher', 'teacher.')):
        official = formula.weights(owner, GOLDEN['weights'], flat_positions=True)
        head = [name for name in official if name.startswith('projection_head')]
        state = {f'{prefix}neck.{name.replace("projection_head", "mlp")}': official.pop(name) for name in head}
        state.update({f'{prefix}backbone.{name}': value for name, value in to_ours(official).backbone.items()})
        assert not model.load_state_dict(state, strict=False).unexpected_keys
    views = [
        formula.image(f'{kind} {v} step 0', 2, pixels)
        for kind, pixels in (('global', 56), ('local', 24))
        for v in range(2)
    ]
    geometry = geometry_of(GOLDEN['loss of given outputs']['windows'])
    loss = model.base_loss(forwarded(model, Step(views, Samples(), geometry=geometry)))['loss_overlap']
    assert loss.item() == pytest.approx(case['loss'], rel=1e-4)
    loss.backward()
    ours = {
        'cls_token': model.backbone.cls_token,
        'norm.weight': model.backbone.ln1.weight,
        'patch_embed.proj.weight': model.backbone.patch_embed.projection.weight,
        'blocks.1.mlp.fc2.weight': model.backbone.layers[1].ffn.layers[1].weight,
        'projection_head.4.bias': model.neck.mlp[4].bias,
    }
    norms = {name: ours[name].grad.norm().item() for name in case['gradient norms']}
    assert norms == pytest.approx(case['gradient norms'], rel=1e-2)


def test_references_are_patches_of_other_images_of_the_same_view():
    model = build(neco(references=200))
    index = model.prepare(begun(model, data(4)), torch.Generator().manual_seed(0))
    assert index.shape == (2, 4, 200)
    images = index // 49
    assert all(set(images[:, image].flatten().tolist()) == set(range(4)) - {image} for image in range(4))


def test_decoupling_loss_is_the_cross_entropy_with_the_order_of_the_clean_view():
    model = build(neco(decoupling={**BRANCH, 'ratio': 1.0})).train()
    step = forwarded(model, begun(model, data(4)))
    decoupled, clean = step.decoupled, step.teacher['dense']
    references = clean.flatten(0, 1)[step.extras[0, 0]].double()

    def order(features):
        cosine = F.cosine_similarity(features.double()[:, None], references, dim=2)
        return SoftSort(49, 100.0)(cosine)

    expected = 0
    for d, row in enumerate(decoupled.rows.tolist()):
        inside = (~decoupled.cut_mask[d]).flatten()
        entropy = -(order(clean[row, inside]) * order(step.dense[d, inside]).log()).sum((1, 2)) / 49
        expected += entropy.mean().item() / len(decoupled.rows)
    losses = model.decoupling({}, step.dense, clean[decoupled.rows], model.foreground(step), model.objective(step))
    assert losses['decoupling'].item() == pytest.approx(expected, rel=1e-4)


def test_training_lowers_the_loss_under_bf16():
    model = build(neco(decoupling=BRANCH)).train()
    optimizer, losses = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3), []
    for _ in range(12):
        with torch.autocast('cpu', torch.bfloat16):
            terms = losses_of(model, data(4))
        optimizer.zero_grad()
        sum(value for key, value in terms.items() if key.startswith('loss')).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
        optimizer.step()
        losses.append(terms['loss_overlap'].item())
    assert losses[-1] < losses[0]


def test_a_batch_of_one_image_gives_one_line():
    with pytest.raises(ValueError, match=r'contains no other image to take references from') as caught:
        losses_of(build(neco()), data(1))
    assert '\n' not in str(caught.value)


def test_a_batch_without_geometry_gives_one_line():
    views = [batch(2, pixels, views=2)['inputs'] for pixels in (56, 24)]
    with pytest.raises(ValueError, match=r'samples have no geometry'):
        losses_of(build(neco()), dict(inputs=views[0] + views[1], data_samples=None))
