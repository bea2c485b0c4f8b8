"""Every number that a measure publishes, from features that are random, against plain loops in float64.

Random features differ in every column, so a wrong column, probe or subset cannot hide, as it can behind the small
differences between the features of a real network.
"""

import math
from statistics import median

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from mmdecouple.evaluation import (
    OKNN,
    BackgroundLeak,
    ContextShift,
    InterCouplingRatio,
    IntraCouplingRatio,
    PositionLeak,
    SpuriousShare,
)
from mmdecouple.evaluation.measures.lsc import LSC
from mmdecouple.evaluation.pooling import pool_weights
from mmdecouple.evaluation.ridge import PENALTIES, fit_ridge

from .toys import toy_probes

CHANNELS, CLASSES = 6, 8


def features(generator, rows):
    """Rows that have something in common, so that no cosine is far from the middle."""
    return 0.8 + torch.randn(rows, CHANNELS, generator=generator)


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def histogram(values, upper=1.0):
    counts = [0] * 50
    for value in values:
        counts[min(int(min(max(value, 0), upper) / upper * 50), 49)] += 1
    return counts


def check(score, metrics, values, groups, histograms=None, curves=None):
    """All that is published and nothing else; a metric is its value and the number of items behind it."""
    assert {name: entry.value for name, entry in score.metrics.items()} == pytest.approx(
        {name: value for name, (value, _) in metrics.items()}, rel=1e-9, abs=1e-12
    )
    assert {name: entry.count for name, entry in score.metrics.items()} == {
        name: count for name, (_, count) in metrics.items()
    }
    assert all(entry.low <= entry.high for entry in score.metrics.values())
    assert set(score.values) == set(values) and score.groups == groups
    for name, expected in values.items():
        assert score.values[name] == pytest.approx(expected, rel=1e-9, abs=1e-12), name
    assert {name: entry['counts'] for name, entry in score.histograms.items()} == (histograms or {})
    for name, expected in (curves or {}).items():
        for line, points in expected.items():
            assert score.curves[name][line] == pytest.approx(points, rel=1e-9), (name, line)
    assert {name: set(lines) for name, lines in score.curves.items()} == {
        name: set(lines) for name, lines in (curves or {}).items()
    }


def rank(bank, labels, query, label, k, temperature, allowed):
    """Place of the true class among the classes that the k nearest of the allowed bank rows vote for."""
    order = sorted((j for j in range(len(bank)) if allowed[j]), key=lambda j: (-cosine(query, bank[j]), j))[:k]
    votes = {}
    for j in order:
        weight = 1 if temperature is None else math.exp(cosine(query, bank[j]) / temperature)
        votes[labels[j]] = votes.get(labels[j], 0) + weight
    classes = sorted(votes, key=lambda c: (-votes[c], c))
    return classes.index(label) if label in classes else CLASSES


def objects(generator, rng, role, images, one_split):
    """Draws of images with up to four objects, up to two of them chosen, and their features."""
    draws, rows = [], []
    for image in images:
        count = int(rng.integers(1, 5))
        ids = [100 * image + i for i in range(count)]
        chosen = [int(key) for key in rng.permutation(ids)[: int(rng.integers(0, 3))]]
        if role == 'bank':
            chosen = chosen or ids[:1]
            ids = chosen
        draws.append(
            dict(
                role=role,
                image=image,
                objects=ids,
                chosen=chosen,
                background=0,
                one_split=one_split,
                labels=rng.integers(0, CLASSES, len(ids)).tolist(),
                areas=[float(area) for area in rng.choice([1023, 1024, 5000, 9215, 9216, 20000], len(ids))],
            )
        )
        shown = [features(generator, len(ids))] + ([features(generator, len(chosen))] if chosen else [])
        rows.append(shown)
    return draws, rows


@pytest.mark.parametrize('one_split, temperature', [(False, 0.07), (True, 0.2), (True, None)])
def test_every_number_of_oknn_is_that_of_loops(one_split, temperature):
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    bank = objects(generator, rng, 'bank', range(40), one_split)
    query = objects(generator, rng, 'query', range(20, 50), one_split)
    for draw, shown in zip(*query):
        own = [(d, s) for d, s in zip(*bank) if d['image'] == draw['image']]
        if own:
            # The bank has nearly the same features of this image: the nearest ones, if they were not left out.
            draw['labels'][0] = own[0][0]['labels'][0]
            shown[0][0] = own[0][1][0][0] + 0.01 * features(generator, 1)[0]
    score = OKNN(k=9, temperature=temperature).score(bank[0] + query[0], bank[1] + query[1])

    bank_labels = [label for draw in bank[0] for label in draw['labels']]
    bank_images = [draw['image'] for draw in bank[0] for _ in draw['objects']]
    clean_bank = [row.double() for shown in bank[1] for row in shown[0]]
    disturbed_bank = [row.double() for shown in bank[1] for row in shown[1]]
    full, matched, disturbed, query_only = {}, {}, {}, {}
    facts = {}
    for draw, shown in zip(*query):
        allowed = [not one_split or image != draw['image'] for image in bank_images]

        def place(rows, row, label, allowed=allowed):
            return rank(rows, bank_labels, row.double(), label, 9, temperature, allowed)

        for i, key in enumerate(draw['objects']):
            facts[key] = draw['image'], draw['labels'][i], draw['areas'][i]
            full[key] = place(clean_bank, shown[0][i], draw['labels'][i])
        for i, key in enumerate(draw['chosen']):
            label = facts[key][1]
            matched[key] = full[key]
            disturbed[key] = place(disturbed_bank, shown[1][i], label)
            query_only[key] = place(clean_bank, shown[1][i], label)
    metrics, values, groups = {}, {}, {}
    for prefix, ranks in (('oknn', full), ('oknn_matched', matched), ('oknn_d', disturbed)):
        hits = {key: float(ranks[key] == 0) for key in ranks}
        metrics[f'{prefix}_top1'] = mean(hits.values()), len(hits)
        metrics[f'{prefix}_top5'] = mean(place < 5 for place in ranks.values()), len(hits)
        by_class = [[hits[key] for key in hits if facts[key][1] == c] for c in range(CLASSES)]
        metrics[f'{prefix}_class_mean'] = mean(mean(part) for part in by_class if part), len(hits)
        values[f'{prefix}_top1'] = list(hits.values())
        groups[f'{prefix}_top1'] = [facts[key][0] for key in hits]
    metrics['oknn_d_query_top1'] = mean(place == 0 for place in query_only.values()), len(query_only)
    for prefix, keys in (('oknn', full), ('oknn_d', disturbed)):
        scored = [facts[key][1] for key in keys]
        metrics[f'{prefix}_majority'] = max(map(scored.count, scored)) / len(scored), len(scored)
    metrics['oknn_bank_per_class'] = len(bank_labels) / len(set(bank_labels)), len(bank_labels)
    gap = [float(matched[key] == 0) - float(disturbed[key] == 0) for key in matched]
    metrics['oknn_gap'] = mean(gap), len(gap)
    values['oknn_gap'], groups['oknn_gap'] = gap, groups['oknn_d_top1']
    for name, low, high in (('small', 0, 32**2), ('medium', 32**2, 96**2), ('large', 96**2, math.inf)):
        hits = [full[key] == 0 for key in full if low <= facts[key][2] < high]
        metrics[f'oknn_{name}_top1'] = mean(hits), len(hits)
    assert len({round(value, 9) for value, _ in metrics.values()}) > 10, 'numbers that are equal prove little'
    check(score, metrics, values, groups)


def test_a_class_that_no_neighbor_has_is_not_among_the_first_five_of_three():
    shown, draws = torch.eye(3), []
    for role, labels in (('bank', (0, 0, 1)), ('query', (0, 1, 2))):
        draws += [
            dict(role=role, image=place, objects=[place], chosen=[place], labels=[label], areas=[1.0], one_split=False)
            for place, label in enumerate(labels)
        ]
    score = OKNN(k=3).score(draws, [[shown[draw['image']][None]] * 2 for draw in draws])
    assert score.metrics['oknn_top5'].value == pytest.approx(2 / 3)
    assert score.metrics['oknn_top1'].value == pytest.approx(1 / 3)
    assert not any('small' in name or 'large' in name for name in score.metrics), 'all objects are of one size'


def test_histograms_have_fifty_equal_bins_and_their_ends_hold_what_is_outside():
    draws = [dict(image=n) for n in range(4)]
    # Cosines 1, 0, -1 and that of the middle of the 8th bin: changes of 0, 1, 2 and 0.15.
    angles = [0, math.pi / 2, math.pi, math.acos(1 - 0.15)]
    rows = [[torch.tensor([[1.0, 0.0]]), torch.tensor([[math.cos(angle), math.sin(angle)]])] * 2 for angle in angles]
    found = IntraCouplingRatio().score(draws, rows).histograms['cr_intra_pixel']
    assert found['edges'] == pytest.approx([place / 50 for place in range(51)])
    assert {place: count for place, count in enumerate(found['counts']) if count} == {0: 1, 7: 1, 49: 2}


@pytest.mark.parametrize('removal, prefix', [('mask', 'cr_inter'), ('token', 'cr_inter_token')])
def test_every_number_of_inter_coupling_is_that_of_loops(removal, prefix):
    generator, eps = torch.Generator().manual_seed(1), 0.05
    draws = [dict(a=10 + n // 2, b=n) for n in range(12)]
    rows = [[features(generator, 1) for _ in range(21)] for _ in draws]
    score = InterCouplingRatio(removal=removal, eps=eps).score(draws, rows)

    pairs = [[row[0].double() for row in shown] for shown in rows]
    center = sum(p[0] for p in pairs) / 24 + sum(p[1] for p in pairs) / 24

    def angle(a, b):
        return math.pi / 2 - math.acos(min(max(cosine(a, b), -1), 1))

    metrics, values, groups, histograms, curves = {}, {}, {}, {}, {}
    images = [draw['a'] for draw in draws]
    for reference in ('clean', 'masked'):
        key = f'{prefix}_{reference}'
        ratio, clamped, dcos, top, bottom = ([[] for _ in pairs] for _ in range(5))
        for n, p in enumerate(pairs):
            for r in range(10):
                single = p[1] if reference == 'clean' else p[1 + r]
                top[n].append(max(angle(p[11 + r], p[0]), eps))
                bottom[n].append(max(angle(single, p[0]), eps))
                ratio[n].append(top[n][-1] / bottom[n][-1])
                clamped[n].append(float(angle(single, p[0]) < eps))
                dcos[n].append(cosine(p[11 + r] - center, p[0] - center) - cosine(single - center, p[0] - center))
        curves[key] = dict(
            ratio=[r / 10 for r in range(10)],
            mean=[mean(row[r] for row in ratio) for r in range(10)],
            median=[median(row[r] for row in ratio) for r in range(10)],
            ratio_of_means=[mean(row[r] for row in top) / mean(row[r] for row in bottom) for r in range(10)],
        )
        for name in ('mean', 'median', 'ratio_of_means'):
            metrics[f'{key}_{name}'] = mean(curves[key][name][1:]), 12
        for name, table in (('clamped_share', clamped), ('dcos', dcos)):
            metrics[f'{key}_{name}'] = mean(mean(row[1:]) for row in table), 12
        values[key], values[f'{key}_dcos'] = ([mean(row[1:]) for row in table] for table in (ratio, dcos))
        groups[key] = groups[f'{key}_dcos'] = images
        histograms[key] = histogram(values[key], 3.0)
    assert 0 < metrics[f'{prefix}_clean_clamped_share'][0] < 1
    check(score, metrics, values, groups, histograms, curves)


def test_every_number_of_intra_coupling_is_that_of_loops():
    generator = torch.Generator().manual_seed(2)
    draws = [dict(image=n // 2) for n in range(9)]
    rows = [[features(generator, 1) for _ in range(4)] for _ in draws]
    values = {
        key: [1 - cosine(shown[i][0].double(), shown[i + 1][0].double()) for shown in rows]
        for key, i in (('cr_intra_pixel', 0), ('cr_intra_cell', 2))
    }
    check(
        IntraCouplingRatio().score(draws, rows),
        {key: (mean(part), 9) for key, part in values.items()},
        values,
        {key: [n // 2 for n in range(9)] for key in values},
        {key: histogram(part) for key, part in values.items()},
    )


def test_every_number_of_context_shift_is_that_of_loops():
    generator = torch.Generator().manual_seed(3)
    draws = [dict(image=n + 5) for n in range(9)]
    rows = [[features(generator, 1) for _ in range(2)] for _ in draws]
    center = sum(shown[0][0].double() for shown in rows) / 9
    values = {
        key: [1 - cosine(*(row[0].double() - shift for row in shown)) for shown in rows]
        for key, shift in (('context_shift', center), ('context_shift_raw', 0))
    }
    check(
        ContextShift().score(draws, rows),
        {key: (mean(part), 9) for key, part in values.items()},
        values,
        {key: [n + 5 for n in range(9)] for key in values},
        {key: histogram(part) for key, part in values.items()},
    )


@pytest.mark.parametrize('one_split, temperature', [(False, 0.07), (True, 0.2), (True, None)])
def test_every_number_of_background_leak_is_that_of_loops(one_split, temperature):
    generator, rng = torch.Generator().manual_seed(4), np.random.default_rng(4)
    labels, shown = rng.integers(0, CLASSES, 50).tolist(), features(generator, 50)
    draws = [
        dict(role=role, image=image, label=labels[image], one_split=one_split)
        for role, images in (('query', range(20, 50)), ('bank', range(40)))
        for image in images
    ]
    # Of one image the bank has nearly the same feature: the nearest one, if it were not left out.
    rows = [[shown[draw['image']] + 0.01 * features(generator, 1)] for draw in draws]
    bank = [(draw, shown[0][0].double()) for draw, shown in zip(draws, rows) if draw['role'] == 'bank']
    hits = [
        float(
            rank(
                [row for _, row in bank],
                [d['label'] for d, _ in bank],
                shown[0][0].double(),
                draw['label'],
                7,
                temperature,
                [not one_split or d['image'] != draw['image'] for d, _ in bank],
            )
            == 0
        )
        for draw, shown in zip(draws, rows)
        if draw['role'] == 'query'
    ]
    assert 0 < mean(hits) < 1
    check(
        BackgroundLeak(k=7, temperature=temperature).score(draws, rows),
        {'background_leak': (mean(hits), 30)},
        {'background_leak': hits},
        {'background_leak': list(range(20, 50))},
    )


def test_every_number_of_lsc_is_that_of_loops():
    generator = torch.Generator().manual_seed(5)
    draws = [dict(image=n + 3, cells=3) for n in range(4)]
    rows = [[features(generator, 9), *(features(generator, 1) for _ in range(9))] for _ in draws]
    windows = [[row.double() for row in shown[0]] for shown in rows]
    alone = [[row[0].double() for row in shown[1:]] for shown in rows]
    center = sum(row for image in windows for row in image) / 36
    values, histograms = {}, {}
    for key, shift in (('lsc', 0), ('lsc_centered', center)):
        maps = [[cosine(a - shift, w - shift) for a, w in zip(*image)] for image in zip(alone, windows)]
        values[f'{key}_mean'] = [mean(image) for image in maps]
        histograms[key] = histogram([value for image in maps for value in image])
    check(
        LSC().score(draws, rows),
        {key: (mean(part), 4) for key, part in values.items()},
        values,
        {key: [n + 3 for n in range(4)] for key in values},
        histograms,
    )


def ridge(x, y, penalty):
    """Weights and offset of a ridge regression, by its normal equations."""
    centered = x - x.mean(0)
    weights = np.linalg.solve(centered.T @ centered + penalty * np.eye(x.shape[1]), centered.T @ (y - y.mean(0)))
    return weights, y.mean(0) - x.mean(0) @ weights


def left_out_error(x, y, penalty, size):
    """Squared error of images of `size` cells, each predicted by the fit to the others; channels keep their scale."""
    total = 0.0
    for start in range(0, len(x), size):
        others = np.r_[:start, start + size : len(x)]
        weights, offset = ridge(x[others], y[others], penalty)
        total += np.square(y[start : start + size] - x[start : start + size] @ weights - offset).sum()
    return total


def test_every_number_of_position_leak_is_that_of_normal_equations():
    rng, side = np.random.default_rng(5), 3
    places = np.stack(np.divmod(np.arange(side**2), side), 1).astype(float)
    mixed = rng.normal(size=(2, CHANNELS))
    draws = [dict(image=image + 40, side=side) for image in range(12)]
    shown = [places @ mixed + 2.0 * rng.normal(size=(side**2, CHANNELS)) for _ in draws]
    expected = []
    for index in range(12):
        others = [n for n in range(12) if n % 4 != index % 4]
        x, y = np.concatenate([shown[n] for n in others]), np.tile(places, (len(others), 1))
        center, scale = x.mean(0), x.std(0)
        x = (x - center) / scale
        penalty = min((10.0**power for power in range(-2, 6)), key=lambda one: left_out_error(x, y, one, side**2))
        weights, offset = ridge(x, y, penalty)
        error = np.square((shown[index] - center) / scale @ weights + offset - places).mean()
        expected.append(1 - error / places.var(0).mean())
    assert 0.1 < mean(expected) < 0.9
    check(
        PositionLeak(folds=4).score(draws, [[torch.from_numpy(rows)] for rows in shown]),
        {'position_leak': (mean(expected), 12)},
        {'position_leak': expected},
        {'position_leak': [image + 40 for image in range(12)]},
    )


def test_places_that_features_state_are_read_and_unrelated_features_tell_none():
    rng, side = np.random.default_rng(6), 4
    cells = [sorted(rng.permutation(side**2)[:6].tolist()) for _ in range(300)]
    draws = [dict(image=image, side=side, places=chosen) for image, chosen in enumerate(cells)]
    shown = [np.stack(np.divmod(chosen, side), 1) @ [[1.0, 2.0], [3.0, -1.0]] for chosen in cells]
    stated = [[torch.from_numpy(rows)] for rows in shown]
    unrelated = [[torch.from_numpy(rng.normal(size=(6, 2)))] for _ in draws]
    values = [PositionLeak().score(draws, rows).metrics['position_leak'].value for rows in (stated, unrelated)]
    assert values[0] > 0.999 and abs(values[1]) < 0.05


def test_every_number_of_the_spurious_share_is_that_of_loops_over_pairs_of_cells():
    generator, cells, width = torch.Generator().manual_seed(7), 5, 2  # round(0.35 * 5)
    sides = ['left', 'right', 'top', 'bottom', 'left', 'top']
    in_strip = {
        'left': lambda row, column: column < width,
        'right': lambda row, column: column >= cells - width,
        'top': lambda row, column: row < width,
        'bottom': lambda row, column: row >= cells - width,
    }
    draws, shown, expected = [], [], []
    for number, side in enumerate(sides):
        draws.append(dict(image=number % 4 + 30, background=50, side=side, cells=cells))
        beside, alone, foreign = (
            torch.randn(rows, CHANNELS, generator=generator) for rows in (cells**2, cells * 3, cells * 2)
        )
        shown.append([beside, alone, foreign])
        strip = [index for index in range(cells**2) if in_strip[side](*divmod(index, cells))]
        own = [index for index in range(cells**2) if index not in strip]
        pairs = [(beside[own].double(), beside[strip].double()), (alone.double(), foreign.double())]
        expected.append([mean(max(cosine(z, f) for f in theirs) > 0.6 for z in mine) for mine, theirs in pairs])
    columns = [[row[0] for row in expected], [row[1] for row in expected], [row[0] - row[1] for row in expected]]
    keys = ['spurious_share', 'spurious_share_apart', 'spurious_share_excess']
    assert 0 < mean(columns[0]) < 1 and len(set(columns[2])) > 3
    check(
        SpuriousShare(threshold=0.6).score(draws, shown),
        {key: (mean(column), 6) for key, column in zip(keys, columns)},
        dict(zip(keys, columns)),
        {key: [30, 31, 32, 33, 30, 31] for key in keys},
        {'spurious_share': histogram(columns[0])},
    )


@pytest.mark.parametrize('count, channels', [(60, 20), (20, 60)])
def test_the_ridge_regression_is_that_of_sklearn(count, channels):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(count, channels)) * rng.uniform(0.1, 9, channels) + 4
    x[:, 0] = 0.1
    y = x[:, 1:3] / 3 + rng.normal(size=(count, 2))
    scaler = StandardScaler().fit(x[:-5])
    reference = RidgeCV(PENALTIES).fit(scaler.transform(x[:-5]), y[:-5])
    single = np.arange(count - 5)[:, None]
    found = fit_ridge(x[:-5], y[:-5], single).predict(x)
    np.testing.assert_allclose(found, reference.predict(scaler.transform(x)), atol=1e-10)


def test_cells_that_repeat_within_an_image_do_not_lower_the_penalty():
    # Maps of a coarse network are enlarged, so that neighboring cells have nearly the same feature.
    rng, images, cells, channels = np.random.default_rng(9), 20, 16, 40
    coarse = rng.normal(size=(images, 4, channels))
    features = np.repeat(coarse, 4, 1).reshape(-1, channels) + 1e-3 * rng.normal(size=(images * cells, channels))
    targets = np.tile(np.repeat(np.arange(4.0), 4), images)[:, None]
    fitted, groups = slice(0, 10 * cells), np.arange(10 * cells).reshape(10, cells)
    errors = [
        np.square(
            fit_ridge(features[fitted], targets[fitted], one).predict(features[10 * cells :]) - targets[10 * cells :]
        ).mean()
        for one in (groups, groups.reshape(-1, 1))
    ]
    variance = targets.var()
    assert errors[0] < 1.1 * variance < 2 * variance < errors[1]


def test_channels_of_one_value_and_rounding_tell_no_place():
    rng, side = np.random.default_rng(9), 4
    draws = [dict(image=image, side=side) for image in range(40)]
    # What rounding leaves of a constant channel depends on the place.
    constant = (3 + 2e-7 * np.arange(side**2)[:, None] * np.ones(5)).astype(np.float32)
    noise = [rng.normal(size=(side**2, 8)).astype(np.float32) for _ in draws]
    plain, mixed, alone = (
        PositionLeak().score(draws, [[torch.from_numpy(rows)] for rows in shown]).metrics['position_leak'].value
        for shown in (noise, [np.hstack([rows, constant]) for rows in noise], [constant for _ in draws])
    )
    assert mixed == pytest.approx(plain, abs=1e-9) and alone == pytest.approx(0, abs=1e-9)


def test_a_place_is_read_from_the_feature_of_its_patch_alone():
    sources = toy_probes(measures=[dict(type='PositionLeak', images=10, folds=2)]).sources
    draw = dict(image=sources.query.images[0], side=sources.size // sources.cell, places=[0, 5])
    probe = PositionLeak(images=10, folds=2).render(draw, 'clean', sources)
    dense = torch.randn(3, draw['side'], draw['side'])
    torch.testing.assert_close(pool_weights(dense, torch.from_numpy(probe.weights)), dense.flatten(1)[:, [0, 5]].T)


@pytest.mark.parametrize(
    ('given', 'grid'), [((4, 4), (6, 5)), ((7, 3), (2, 2)), ((14, 14), (16, 16)), ((8, 8), (4, 2))]
)
def test_weights_are_averaged_by_area_on_any_grid(given, grid):
    weights = torch.rand(2, *given, dtype=torch.float64)
    dense = torch.randn(3, *grid, dtype=torch.float64)
    # Both are constant on the cells of their least common grid.
    fine = [math.lcm(*sides) for sides in zip(given, grid)]
    spread = [
        part.repeat_interleave(fine[0] // part.shape[1], 1).repeat_interleave(fine[1] // part.shape[2], 2)
        for part in (weights, dense)
    ]
    expected = torch.einsum('rhw,chw->rc', *spread) / spread[0].sum((1, 2))[:, None]
    torch.testing.assert_close(pool_weights(dense, weights).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('measure', [ContextShift(objects=1), LSC(images=1, cells=1, window=1)], ids=['shift', 'LSC'])
def test_of_one_item_nothing_is_compared_with_its_own_mean(measure):
    sources = toy_probes(measures=[dict(type='ContextShift', objects=2)]).sources
    drawn = measure.draw(sources, np.random.default_rng(0))
    assert len(drawn.draws) == 1 and 'the other needs a mean of several' in drawn.notes[0]
    score = measure.score(drawn.draws, [[torch.randn(1, CHANNELS) for _ in measure.probes(drawn.draws[0])]])
    assert list(score.metrics) == ['context_shift_raw' if isinstance(measure, ContextShift) else 'lsc_mean']
