"""Alignment by rank: hand-made cases, sorted lists in float64, and the methods that the first rank must leave alone."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmdecouple.models.algorithms.variants.ranked_match import RankedMatch

from .conftest import BRANCH, begun, build, densecl, forwarded, losses_of
from .golden_models import ibot

METHODS = {'match_rank': densecl, 'target_rank': ibot}
BRANCH = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}


def misaligned(setting: str, rank, **kwargs) -> dict:
    """Config of the method whose pairs this setting ranks."""
    method = METHODS[setting]
    return method(type=f'Misaligned{method()["type"]}', **{setting: rank}, **kwargs)


def at(*degrees: float) -> torch.Tensor:
    """Features (1, P, 2) of several lengths in given directions."""
    angles = torch.tensor(degrees) * math.pi / 180
    return (torch.stack([angles.cos(), angles.sin()], 1) * torch.arange(1.0, len(degrees) + 1)[:, None])[None]


def sorted_by_cosine(query: torch.Tensor, keys: torch.Tensor) -> list[int]:
    """Positions of keys (P, C), the most similar to the query (C,) first."""
    cosine = F.cosine_similarity(query[None].double(), keys.double(), dim=1)
    return sorted(range(len(keys)), key=lambda j: -cosine[j])


@pytest.mark.parametrize('rank, expected', [(1, [0, 2]), (2, [1, 1]), (3, [2, 3]), (4, [3, 0])])
def test_the_nth_most_similar_position_is_the_nth_smallest_angle(rank, expected):
    match = RankedMatch(rank, 'Method', 'rank')
    assert match(at(10, 100), at(0, 40, 90, 170)).tolist() == [expected]


def test_half_precision_ties_no_positions():
    with torch.autocast('cpu', torch.bfloat16):
        match = RankedMatch(2, 'Method', 'rank')(at(0.0), at(3, 0, 4, 1, 2))
    assert match.tolist() == [[3]]


def test_the_first_rank_is_the_method(data):
    torch.manual_seed(0)
    first, query, key = RankedMatch(1, 'Method', 'rank'), *torch.randn(2, 4, 30, 8)
    assert torch.equal(first(query, key), F.cosine_similarity(query[:, :, None], key[:, None], dim=3).argmax(2))
    assert torch.equal(first(query, query), torch.arange(30).expand(4, 30))
    for setting, method in METHODS.items():
        plain, ranked = (
            losses_of(build(config).train(), data)
            for config in (method(decoupling=BRANCH), misaligned(setting, 1, decoupling=BRANCH))
        )
        assert plain.keys() == ranked.keys() and all(torch.equal(plain[name], ranked[name]) for name in plain)


@pytest.mark.parametrize('rank', [2, 16, 'random'])
def test_densecl_pulls_positions_to_their_matches_by_rank(data, rank):
    model = build(misaligned('match_rank', rank)).train()
    step = forwarded(model, begun(model, data))
    student, teacher = step.student, step.teacher
    queue, total = model.dense_queue.keys.double(), 0.0
    for row in range(8):
        for i in range(16):
            order = sorted_by_cosine(student['map'][row, i], teacher['map'][row])
            j = int(step.extras[row, i]) if rank == 'random' else order[rank - 1]
            q, k = (F.normalize(x.double(), dim=0) for x in (student['dense'][row, i], teacher['dense'][row, j]))
            logits = torch.cat([(q @ k)[None], queue @ q]) / 0.2
            total += -logits.log_softmax(0)[0].item() / (8 * 16)
    losses = model.base_loss(step)
    assert losses['loss_dense'].item() == pytest.approx(0.5 * total, rel=1e-5)
    assert losses['loss_dense'].item() != pytest.approx(
        losses_of(build(densecl()).train(), data)['loss_dense'].item(), rel=1e-6
    )


@pytest.mark.parametrize('rank', [2, 16, 'random'])
def test_ibot_takes_targets_from_the_teachers_tokens_by_rank(data, rank):
    model = build(misaligned('target_rank', rank, mim_share=1.0, visible_weight=1.0)).train()
    step = forwarded(model, begun(model, data))
    student, teacher, tokens = step.student, step.teacher, step.teacher['tokens']
    logits = model.neck(student['dense'].flatten(0, 1)).unflatten(0, (16, 16)) / model.student_temperature
    target = model.dense_target(teacher['dense'].flatten(0, 1)).unflatten(0, (16, 16))
    means = {'loss_patch': [], 'loss_visible': []}
    for row, masked in enumerate(step.extras.mask.flatten(1)):
        terms = {'loss_patch': [], 'loss_visible': []}
        for i in range(16):
            order = sorted_by_cosine(tokens[row, i], tokens[row])
            j = int(step.extras.aligned[row, i]) if rank == 'random' else order[rank - 1]
            name, j = ('loss_patch', j) if masked[i] else ('loss_visible', i)
            terms[name].append(-(target[row, j] * logits[row, i].log_softmax(0)).sum().item())
        for name, values in terms.items():
            means[name].append(sum(values) / max(len(values), 1))
    losses = model.base_loss(step)
    for name, values in means.items():
        assert losses[name].item() == pytest.approx(sum(values) / 16, rel=1e-5)


@pytest.mark.parametrize('setting', METHODS)
def test_random_pairs_follow_the_iteration_and_not_the_global_generator(data, setting):
    model, drawn = build(misaligned(setting, 'random')).train(), []
    for seed, iteration in ((0, 0), (1, 0), (0, 1)):
        torch.manual_seed(seed)
        model.data_preprocessor.set_step(0, 0, iteration)
        index = begun(model, data).extras
        drawn.append(index if setting == 'match_rank' else index.aligned)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert set(drawn[0].flatten().tolist()) == set(range(16))


@pytest.mark.parametrize('setting', METHODS)
@pytest.mark.parametrize('rank', [3, 'random'])
def test_every_parameter_learns_from_ranked_pairs(data, setting, rank):
    model = build(misaligned(setting, rank, decoupling=BRANCH)).train()
    sum(value for name, value in losses_of(model, data).items() if name.startswith('loss')).backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing and all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('setting', METHODS)
@pytest.mark.parametrize('rank', [0, -1, 1.0, True, 'far', None])
def test_a_rank_that_is_none_names_its_key(setting, rank):
    with pytest.raises(ValueError, match=rf'{setting} must be .* got .* \(config key model\.{setting}\)\.$'):
        build(misaligned(setting, rank))


@pytest.mark.parametrize('setting', METHODS)
def test_a_rank_beyond_the_view_names_the_number_of_positions(data, setting):
    model = build(misaligned(setting, 17))
    with pytest.raises(ValueError, match=rf'not exceed the 16 positions .* got 17 \(config key model\.{setting}\)\.$'):
        losses_of(model, data)
