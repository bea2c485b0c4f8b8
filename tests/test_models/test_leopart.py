"""Leopart and Leopart-D against the authors' code (golden numbers) and against the contracts of the package."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdecouple.models import Samples, Step, sinkhorn
from mmdecouple.models.attention_mask import attention_mask
from mmdecouple.models.layers import EmbeddingQueue
from mmdecouple.utils.geometry import map_boxes
from mmdecouple.weights.formats.vit import to_ours

from .conftest import BRANCH, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import load

GOLDEN = load('leopart')
BRANCH = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}


def leopart(**kwargs) -> dict:
    """Config of the golden file's Leopart: views of 56 and 24 pixels, patches of 8."""
    return {
        **dict(
            type='Leopart',
            local_views=2,
            queue_length=0,
            backbone=dict(
                type='DenseViT',
                img_size=56,
                patch_size=8,
                arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=128),
            ),
            neck=dict(type='PrototypeHead', in_channels=32, prototypes=24, hidden_channels=48, out_channels=16),
        ),
        **kwargs,
    }


def geometry_of(windows) -> torch.Tensor:
    """Geometry (V, B, 7) of windows x1, y1, x2, y2, one list an image."""
    windows = torch.tensor(windows, dtype=torch.float32)
    corner, side = windows[..., :2], windows[..., 2:] - windows[..., :2]
    rest = torch.tensor([0.0, 300.0, 300.0]).expand(*windows.shape[:2], 3)
    return torch.cat([corner, side, rest], dim=2).transpose(0, 1)


def data(size: int = 8) -> dict:
    """A batch of two global and two local views that overlap."""
    windows = [[0, 0, 112, 112], [28, 56, 140, 168], [56, 56, 84, 84], [28, 56, 84, 112]]
    samples = [BaseDataElement(geometry=geometry_of([windows])[:, 0]) for _ in range(size)]
    views = [batch(size, pixels, views=2, seed=pixels)['inputs'] for pixels in (56, 24)]
    return dict(inputs=views[0] + views[1], data_samples=samples)


def golden_model(**kwargs):
    model = build(leopart(**kwargs)).train()
    for owner, prefix in (('student', ''), ('teacher', 'teacher.')):
        official = formula.weights(owner, GOLDEN['weights'], flat_positions=True)
        head = {
            name.replace('projection_head', 'mlp'): official.pop(name)
            for name in list(official)
            if name.startswith(('projection_head', 'prototypes'))
        }
        state = {f'{prefix}backbone.{name}': value for name, value in to_ours(official).backbone.items()}
        state.update({f'{prefix}neck.{name}': value for name, value in head.items()})
        assert not model.load_state_dict(state, strict=False).unexpected_keys
    return model


@pytest.mark.parametrize('iterations', [1, 3, 50])
def test_assignments_equal_the_official_ones(iterations):
    scores = formula.tensor('scores', (8, 5), 0.3)
    expected = torch.tensor(GOLDEN['sinkhorn'][f'{iterations} iterations']['q'])
    torch.testing.assert_close(sinkhorn(scores, 0.05, iterations), expected, rtol=1e-5, atol=1e-8)
    padded = sinkhorn(torch.cat([torch.randn(3, 5), scores]), 0.05, iterations, torch.tensor([0.0] * 3 + [1.0] * 8))
    torch.testing.assert_close(padded[3:], expected, rtol=1e-5, atol=1e-8)
    assert not padded[:3].any()


def test_attention_masks_equal_the_official_ones():
    case = GOLDEN['attention masks']
    powers = torch.tensor(case['powers'])[:, None, None]
    attention = ((formula.tensor('attention', (3, 1, 14, 14))[:, 0] + 1) / 2) ** powers
    assert formula.to_text(attention_mask(attention).bool()) == case['masks']
    assert case['masks'] != case['masks with small pieces']


def test_overlaps_of_windows_equal_the_official_boxes():
    case = GOLDEN['overlaps']
    windows = torch.tensor(case['windows'], dtype=torch.float32)
    geometry = geometry_of([case['windows']])[:, 0]
    for j in range(2):
        for v in range(4):
            box = torch.cat(
                [torch.maximum(windows[j, :2], windows[v, :2]), torch.minimum(windows[j, 2:], windows[v, 2:])]
            )
            for view, expected in (
                (j, case['in the global crop, by global and other'][j][v]),
                (v, case['in the other crop, by other and global'][v][j]),
            ):
                size = (case['sizes'][view],) * 2
                torch.testing.assert_close(
                    map_boxes(box[None], geometry[view], size, 'view')[0], torch.tensor(expected), rtol=1e-5, atol=1e-4
                )


def given_step() -> tuple[Step, list[torch.Tensor]]:
    """A step with the given outputs of the golden file, and the student's scores of each view."""
    case = GOLDEN['loss of given outputs']
    scores = formula.tensor('teacher scores', (196, 24)).split(98)
    parts = [
        *formula.tensor('global student scores', (196, 24)).split(98),
        *formula.tensor('local student scores', (36, 24)).split(18),
    ]
    parts = [part.view(2, -1, 24).requires_grad_() for part in parts]
    views = [torch.empty(2, 3, side, side) for side in (56, 56, 24, 24)]
    assignments = torch.cat([sinkhorn(part, 0.05, 3) for part in scores]).view(4, 49, 24)
    step = Step(
        views,
        Samples(),
        geometry=geometry_of(case['windows']),
        teacher={'dense': assignments, 'mask': formula.from_text(case['foreground']).float()},
        student={'scores': torch.cat(parts[:2]), 'local_scores': torch.cat(parts[2:])},
    )
    return step, parts


def test_loss_of_given_outputs_equals_the_official_one():
    case, model = GOLDEN['loss of given outputs'], build(leopart())
    step, scores = given_step()
    assert model.base_loss(step)['loss_cluster'].item() == pytest.approx(case['loss'], rel=1e-5)
    geometry, teacher = step.geometry, step.teacher
    for name, expected in case['pairs'].items():
        j, v = map(int, name.split('-'))
        target = teacher['dense'].transpose(1, 2).unflatten(2, (7, 7)).chunk(2)[j]
        mask = teacher['mask'][:, None].chunk(2)[j]
        map_ = scores[v].transpose(1, 2).unflatten(2, (7, 7) if v < 2 else (3, 3))
        pair = model._pair_loss(map_, target, mask, geometry[v], geometry[j])
        assert pair.item() == pytest.approx(expected, rel=1e-5)
    model.base_loss(step)['loss_cluster'].backward()
    norms = [view.grad.norm().item() for view in scores]
    assert norms == pytest.approx(case['gradient norms by student view'], rel=1e-4)


def test_a_whole_step_equals_the_official_one():
    case, model = GOLDEN['whole step'], golden_model()
    views = [
        formula.image(f'{kind} {v} step 0', 2, pixels)
        for kind, pixels in (('global', 56), ('local', 24))
        for v in range(2)
    ]
    geometry = geometry_of(GOLDEN['loss of given outputs']['windows'])
    step = forwarded(model, Step(views, Samples(), geometry=geometry))
    assert formula.to_text(step.teacher['mask'].bool()) == case['foreground']
    loss = model.base_loss(step)['loss_cluster']
    assert loss.item() == pytest.approx(case['loss'], rel=1e-5)
    loss.backward()
    ours = {
        'cls_token': model.backbone.cls_token,
        'norm.weight': model.backbone.ln1.weight,
        'patch_embed.proj.weight': model.backbone.patch_embed.projection.weight,
        'blocks.0.attn.qkv.weight': model.backbone.layers[0].attn.qkv.weight,
        'blocks.1.mlp.fc2.weight': model.backbone.layers[1].ffn.layers[1].weight,
        'projection_head.0.weight': model.neck.mlp[0].weight,
        'projection_head.4.bias': model.neck.mlp[4].bias,
        'prototypes.weight': model.neck.prototypes.weight,
    }
    norms = {name: ours[name].grad.norm().item() for name in case['gradient norms']}
    assert norms == pytest.approx(case['gradient norms'], rel=1e-4)


def test_the_queue_holds_what_the_official_one_holds(monkeypatch):
    case = GOLDEN['loss of given outputs']['queue']
    foreground = formula.from_text(GOLDEN['loss of given outputs']['foreground']).float().chunk(2)
    # The recipe stores the first rows of the foreground instead of random ones.
    monkeypatch.setattr(torch, 'rand_like', lambda x: torch.linspace(0.9, 0, len(x)))
    queues = [EmbeddingQueue(case['length'], 16) for _ in range(2)]
    for step, contents in enumerate(case['contents by step and global crop']):
        embeddings = formula.tensor(f'embedding step {step}', (196, 16)).split(98)
        for queue, rows, mask, expected in zip(queues, embeddings, foreground, contents):
            queue.push(rows, mask.flatten(), 20)
            for row, name in zip(queue.rows, expected.split()):
                if name == '-':
                    assert not row.any()
                else:
                    s, r = map(int, name.split(':'))
                    view = queues.index(queue)
                    assert torch.equal(row, formula.tensor(f'embedding step {s}', (196, 16))[98 * view + r])
            assert bool(queue.valid.all()) == ('-' not in expected)


def test_a_queue_with_too_little_foreground_repeats_it_and_with_none_takes_any():
    torch.manual_seed(0)
    rows = torch.randn(6, 4)
    queue = EmbeddingQueue(5, 4)
    queue.push(rows, torch.tensor([0.0, 1, 0, 0, 1, 0]), 5)
    assert {tuple(row.tolist()) for row in queue.rows} == {tuple(rows[i].tolist()) for i in (1, 4)}
    queue.push(rows, torch.zeros(6), 5)
    assert len({tuple(row.tolist()) for row in queue.rows}) == 5


def test_a_full_queue_takes_part_in_the_assignments():
    losses = []
    for length in (0, 16):
        model = build(leopart(queue_length=length)).train()
        with torch.no_grad():
            losses.append([losses_of(model, data(2), step)['loss_cluster'].item() for step in range(2)])
    assert losses[0][0] == losses[1][0] and losses[0][1] != losses[1][1]


def test_decoupling_loss_is_the_cross_entropy_with_the_assignments_of_the_clean_view():
    model = build(leopart(decoupling={**BRANCH, 'ratio': 1.0})).train()
    step = forwarded(model, begun(model, data()))
    decoupled, teacher = step.decoupled, step.teacher
    log = F.log_softmax(model.neck(step.dense) / 0.1, dim=2)
    value = 0
    for view in range(2):
        terms = []
        for d, row in enumerate(decoupled.rows.tolist()):
            inside = (~decoupled.cut_mask[d]).flatten() & teacher['mask'][row].flatten().bool()
            if row // 8 == view:
                terms += [-(teacher['dense'][row, j] * log[d, j]).sum() for j in inside.nonzero().flatten().tolist()]
        value += sum(terms) / len(terms) / 2
    losses = model.decoupling({}, step.dense, teacher['dense'][decoupled.rows], model.foreground(step), model)
    assert losses['decoupling'].item() == pytest.approx(value.item(), rel=1e-5)


def test_lambda_zero_is_the_base_method_and_the_branch_leaves_the_queue_alone():
    states = {}
    for name, branch in (('base', None), ('zero', {**BRANCH, 'loss_weight': 0.0}), ('on', BRANCH)):
        model = build(leopart(decoupling=branch, queue_length=16)).train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
        torch.manual_seed(0)
        losses = losses_of(model, data())
        optimizer.zero_grad()
        sum(value for key, value in losses.items() if key.startswith('loss')).backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        optimizer.step()
        model.update_teacher(0, 2)
        states[name] = model.state_dict()
    assert all(torch.equal(value, states['zero'][name]) for name, value in states['base'].items())
    assert torch.equal(states['base']['queues.0.stored'], states['on']['queues.0.stored'])


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(local_views=4), r'takes 6 views of an image, but the batch has 4'),
        (dict(samples=None), r'samples have no geometry; end the pipeline with PackViews'),
    ],
)
def test_bad_batches_give_one_line(change, words):
    prepared = data(2)
    if 'samples' in change:
        prepared['data_samples'] = change.pop('samples')
    with pytest.raises(ValueError, match=words) as caught:
        losses_of(build(leopart(**change)), prepared)
    assert '\n' not in str(caught.value)
