"""ReSim and ReSim-D against the authors' code (golden numbers) and against the invariants of the package."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdecouple.models.windows import pair_windows, pool_windows, sliding_windows
from mmdecouple.utils.errors import UserError

from .conftest import BRANCH, RESNET, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import load
from .test_leopart import geometry_of

GOLDEN = load('resim')
GRID = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}


def resim(**kwargs) -> dict:
    """Config of a ReSim for 32 pixel views: 4 x 4 and 8 x 8 positions, 4 and 9 windows."""
    return {
        **dict(
            type='ReSim',
            backbone=dict(RESNET, out_indices=(0, 1, 2)),
            neck=dict(type='ReSimNeck', in_channels=[8, 16, 32], hid_channels=32, out_channels=16, channels=12),
            queue_length=32,
            channels=16,
            windows=((16, 8), (8, 8)),
        ),
        **kwargs,
    }


def resim_c4(**kwargs) -> dict:
    """Config of a ReSim with one map, that of the second-last stage."""
    return resim(
        **{
            **dict(
                backbone=dict(RESNET, out_indices=(1, 2)),
                neck=dict(
                    type='ReSimNeck',
                    in_channels=[16, 32],
                    hid_channels=32,
                    out_channels=16,
                    channels=12,
                    top_down=False,
                ),
                windows=((16, 8),),
            ),
            **kwargs,
        }
    )


def data(size: int = 8) -> dict:
    """A batch of two views; the second shows other parts of the content of the first, or none of it."""
    windows = [
        [[0, 0, 100, 100], [0, 0, 100, 100]],
        [[0, 0, 100, 100], [10, 20, 130, 120]],
        [[50, 0, 150, 100], [0, 10, 140, 110]],
        [[0, 0, 60, 60], [90, 90, 150, 150]],
    ]
    geometry = geometry_of([windows[index % 4] for index in range(size)])
    geometry[:, 1::4, 4] = 1
    geometry[0, 2::4, 4] = 1
    samples = [BaseDataElement(geometry=geometry[:, index]) for index in range(size)]
    return dict(inputs=batch(size)['inputs'], data_samples=samples)


def apart(size: int = 8) -> dict:
    """A batch in which the two views of an image are disjoint."""
    found = data(size)
    for sample in found['data_samples']:
        sample.set_field(geometry_of([[[0, 0, 60, 60], [90, 90, 150, 150]]])[:, 0], 'geometry')
    return found


@pytest.mark.parametrize('case', GOLDEN['windows'])
@pytest.mark.parametrize('level, size, stride', [('coarse', 48, 32), ('fine', 32, 24)])
def test_windows_equal_those_of_the_official_data_set(case, level, size, stride):
    case = GOLDEN['windows'][case]
    geometry = geometry_of([[case['query crop'], case['key crop']]])
    pairs = pair_windows(sliding_windows((224, 224), size, stride), geometry, (224, 224), (224, 224))
    assert pairs.shown.tolist() == [index for index, box in enumerate(case[level]) if box != -1]
    for index in pairs.shown.tolist():
        assert (pairs.key[0, index] * 224).tolist() == pytest.approx(case[level][index], abs=1e-4)


def test_pooling_and_its_gradient_equal_the_official_kernels():
    case = GOLDEN['pooling']
    maps = formula.tensor('maps', (2, 3, 6, 6)).requires_grad_()
    means = pool_windows(maps, torch.tensor(case['boxes']) / 96)
    torch.testing.assert_close(means, torch.tensor(case['means']), rtol=1e-5, atol=2e-6)
    (means * formula.tensor('gradient', (10, 3)).view(2, 5, 3)).sum().backward()
    torch.testing.assert_close(maps.grad, torch.tensor(case['gradient']), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize('config, terms', [(resim(), 3), (resim_c4(), 2)], ids=['FPN', 'C4'])
def test_every_parameter_has_a_gradient_even_if_no_view_shows_a_window_of_the_other(config, terms):
    for given in (data(), apart()):
        model = build(config).train()
        losses = losses_of(model, given)
        found = [value for name, value in losses.items() if name.startswith('loss')]
        assert len(found) == terms
        sum(found).backward()
        for name, parameter in model.named_parameters():
            assert (parameter.grad is not None) == (not name.startswith('teacher.')), name
    # The last losses are those of the second batch.
    assert losses['shown_share'] == losses['loss_region'] == 0 and losses['loss_global'] > 0
    assert not any(p.grad.any() for name, p in model.named_parameters() if name.startswith('neck.outputs'))


def test_the_share_of_shown_windows_is_logged():
    model = build(resim()).train()
    step = begun(model, data())
    shown = [len(pairs.shown) for pairs in step.extras]
    # Of the four kinds of pairs, one has equal views and one has disjoint views.
    assert 2 * 4 <= shown[0] < 6 * 4 and 2 * 9 <= shown[1] < 6 * 9
    share = losses_of(model, data())['shown_share']
    assert share.item() == pytest.approx(sum(shown) / (8 * 13))


def test_the_map_of_a_level_is_that_of_the_coarser_one_added_to_its_own():
    neck = build(resim()).neck.double()
    maps = [torch.randn(2, width, side, side, dtype=torch.float64) for width, side in ((8, 8), (16, 4), (32, 4))]
    projection, (dense, fine) = neck(maps)
    weights = dict(neck.named_parameters())

    def conv(x, name, padding=0):
        return F.conv2d(x, weights[f'{name}.weight'], weights[f'{name}.bias'], padding=padding)

    above = conv(maps[1], 'laterals.1') + conv(maps[2], 'laterals.2')
    below = conv(maps[0], 'laterals.0') + above.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(dense, conv(above, 'outputs.1', 1))
    torch.testing.assert_close(fine, conv(below, 'outputs.0', 1))
    hidden = F.linear(maps[2].mean((2, 3)), weights['mlp.0.weight'], weights['mlp.0.bias']).relu()
    torch.testing.assert_close(projection, F.linear(hidden, weights['mlp.2.weight'], weights['mlp.2.bias']))


def test_without_the_top_down_path_the_last_stage_reaches_no_region():
    model = build(resim_c4()).train()
    losses_of(model, data())['loss_region'].backward()
    reached = {name.split('.')[1] for name, p in model.backbone.named_parameters('backbone') if p.grad is not None}
    assert 'layer2' in reached and 'layer3' not in reached
    assert all(parameter.grad is None for parameter in model.neck.mlp.parameters())


def test_a_pair_of_windows_is_pulled_together_by_the_loss():
    """If both networks see the same views, the counterpart of a window is the most similar key."""
    model = build(resim()).eval()
    given = data()
    given['inputs'][1] = given['inputs'][0].clone()
    for sample in given['data_samples']:
        sample.set_field(sample.geometry[:1].expand(2, -1).clone(), 'geometry')
    same = losses_of(model, given)
    other = losses_of(model, {**given, 'inputs': [given['inputs'][0], given['inputs'][0].flip(0)]})
    assert same['loss_region'] < other['loss_region'] and same['loss_fine'] < other['loss_fine']


def test_flips_of_single_views_are_followed():
    """If the key view is mirrored, its windows are mirrored as well."""
    model = build(resim()).eval()
    step = begun(model, data())
    mirrored = data()
    for sample in mirrored['data_samples']:
        geometry = sample.geometry.clone()
        geometry[1, 4] = 1 - geometry[1, 4]
        sample.set_field(geometry, 'geometry')
    other = begun(model, mirrored)
    for one, two in zip(step.extras, other.extras):
        assert torch.equal(one.query, two.query)
        torch.testing.assert_close(one.key[..., [0, 2]], 1 - two.key[..., [2, 0]], rtol=0, atol=1e-6)
        assert torch.equal(one.key[..., [1, 3]], two.key[..., [1, 3]])


def test_the_teacher_never_sees_the_decoupled_view_and_provides_all_negatives():
    model = build(resim(decoupling={**GRID, 'ratio': 0.5})).train()
    seen = []
    model.teacher.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    step = forwarded(model, begun(model, data()))
    assert len(seen) == 1 and len(seen[0]) == 8
    assert sorted(map(str, seen[0].flatten(1).sum(1).tolist())) == sorted(
        map(str, step.views[1].flatten(1).sum(1).tolist())
    )
    assert step.dense.shape == (4, 16, 12) and step.student['fine'].shape == (8, 12, 8, 8)
    assert step.teacher['negatives'].shape == (8 * 4, 12) and not step.teacher['negatives'].requires_grad


def test_a_branch_without_weight_is_the_base_method_bit_for_bit():
    base = losses_of(build(resim()).train(), data())
    other = losses_of(build(resim(decoupling={**GRID, 'loss_weight': 0.0})).train(), data())
    assert base.keys() == other.keys() and all(torch.equal(base[name], other[name]) for name in base)


def test_mixed_precision_computes_the_losses_in_float32():
    model = build(resim(decoupling={**GRID, 'ratio': 0.5})).train()
    plain = losses_of(copy.deepcopy(model), data())
    with torch.autocast('cpu', torch.bfloat16):
        mixed = losses_of(model, data())
    for name, value in plain.items():
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(value.item(), rel=0.02), name


@pytest.mark.parametrize('config', [resim, resim_c4])
@pytest.mark.parametrize('branch', [None, {**GRID, 'ratio': 0.5}], ids=['base', '-D'])
def test_twenty_steps_lower_every_term(config, branch):
    model, terms = build(config(decoupling=branch)).train(), []
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    for step in range(20):
        losses = losses_of(model, data())
        terms.append({name: value.item() for name, value in losses.items() if name.startswith('loss_')})
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
        optimizer.step()
        model.update_teacher(step, 20)
    # The queue is filled with keys of the same images, so the term of whole views need not fall.
    for name in terms[0].keys() - {'loss_global'}:
        assert terms[-1][name] < 0.97 * terms[0][name], (name, terms[0][name], terms[-1][name])


@pytest.mark.parametrize(
    'changes, problem',
    [
        (dict(windows=((16, 8),)), 'ReSim: windows must have a'),
        (dict(windows=16), 'ReSim: windows must have a'),
        (dict(windows=((16, 8), (8, 0))), r'windows\[1\]\[1\] must be a whole number of at least 1'),
        (dict(temperature=0), 'temperature must be a number above 0'),
        (dict(queue_length=0), 'queue_length'),
        (dict(neck=dict(type='mmpretrain.MoCoV2Neck', in_channels=32, hid_channels=8, out_channels=8)), 'a ReSimNeck'),
        (dict(neck=dict(type='ReSimNeck', in_channels=[32])), 'in_channels must have at least two numbers'),
    ],
)
def test_wrong_settings_are_refused(changes, problem):
    with pytest.raises(UserError, match=problem):
        build(resim(**changes))


@pytest.mark.parametrize(
    'changes, problem',
    [
        (dict(windows=((32, 8), (8, 8))), r'windows\[0\] must be smaller than a view, 32 pixels, got 32'),
        (dict(dense_stride=16), 'dense_stride must give at least 3 positions'),
        (dict(dense_stride=4), 'dense output has 16 positions, but a stride of 4 pixels gives 64'),
    ],
)
def test_views_that_do_not_fit_are_refused(changes, problem):
    with pytest.raises(UserError, match=problem) as caught:
        losses_of(build(resim(**changes)), data())
    assert '\n' not in str(caught.value)


def test_samples_without_geometry_are_refused():
    with pytest.raises(UserError, match='the samples have no geometry'):
        losses_of(build(resim()), batch())
