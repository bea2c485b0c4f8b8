"""Every measure against naive float64 computations and on networks known by construction."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmdecouple.evaluation import OKNN, BackgroundLeak, InterCouplingRatio, measure_model
from mmdecouple.evaluation.measures.canvas import MEAN_COLOR
from mmdecouple.evaluation.object_sources import ObjectSource, Sources
from mmdecouple.models import DenseViT
from mmdecouple.networks.foreign import ForeignNetwork

from .toys import CELL, SIZE, ConvModel, GlobalModel, PixelModel, ToyObjects, toy_probes


def box_feature(dense, box, width):
    """Mean of RoIAlign 7 x 7, aligned, adaptive sampling: loops over all samples."""
    channels, h, w = dense.shape
    scale = w / width
    x1, y1, x2, y2 = (float(v) * scale for v in box)
    nx, ny = max(int(np.ceil((x2 - x1) / 7)), 1), max(int(np.ceil((y2 - y1) / 7)), 1)
    total = np.zeros(channels)
    for i in range(7 * ny):
        for j in range(7 * nx):
            y = y1 + (i + 0.5) * (y2 - y1) / (7 * ny) - 0.5
            x = x1 + (j + 0.5) * (x2 - x1) / (7 * nx) - 0.5
            if y < -1 or y > h or x < -1 or x > w:
                continue
            y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
            top, left = min(int(y), h - 1), min(int(x), w - 1)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            dy, dx = y - top, x - left
            total += (1 - dy) * ((1 - dx) * dense[:, top, left] + dx * dense[:, top, right]) + dy * (
                (1 - dx) * dense[:, bottom, left] + dx * dense[:, bottom, right]
            )
    return total / (49 * nx * ny)


def part_feature(dense, weights):
    """Mean over cells weighted by the share of each cell that `weights` covers."""
    channels, h, w = dense.shape
    step = weights.shape[0] // h
    total, mass = np.zeros(channels), 0.0
    for i in range(h):
        for j in range(w):
            share = weights[i * step : (i + 1) * step, j * step : (j + 1) * step].mean()
            total, mass = total + share * dense[:, i, j], mass + share
    return total / mass


def reference_features(model, dataset):
    """Per measure, draw and probe: the pooled rows in float64."""
    model.eval()
    rows = [[[] for _ in part['draws']] for part in dataset.manifest['measures']]
    for position in range(len(dataset)):
        item = dataset[position]
        image, sample = item['inputs'], item['data_samples']
        with torch.no_grad():
            dense = model.dense_features((image[None].float() - 118) / 57)[0].double().numpy()
        if 'boxes' in sample:
            feature = [box_feature(dense, box, image.shape[2]) for box in sample.boxes.tolist()]
        else:
            feature = [part_feature(dense, weights.double().numpy()) for weights in sample.weights]
        m, d, _ = dataset.index[position]
        rows[m][d].append(feature)
    return rows


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def knn_hits(
    bank,
    bank_labels,
    queries,
    labels,
    k,
    top=1,
    bank_images=None,
    images=None,
    weight=lambda similarity: np.exp(similarity / 0.07),
):
    hits = []
    for i, query in enumerate(queries):
        order = sorted(
            (-cosine(query, row), j) for j, row in enumerate(bank) if images is None or bank_images[j] != images[i]
        )[:k]
        score = {}
        for negative, j in order:
            score[bank_labels[j]] = score.get(bank_labels[j], 0) + weight(-negative)
        best = sorted(score, key=lambda c: (-score[c], c))[:top]
        hits.append(labels[i] in best)
    return np.array(hits)


@pytest.fixture(scope='module')
def measured():
    dataset, model = toy_probes(), ConvModel()
    return dataset, reference_features(model, dataset), measure_model(model, dataset)


def values_of(report):
    return {name: entry['value'] for name, entry in report['metrics'].items()}


def test_oknn_equals_the_naive_computation(measured):
    dataset, features, report = measured
    draws, rows, got = dataset.manifest['measures'][0]['draws'], features[0], values_of(report)
    bank = [(d, f) for d, f in zip(draws, rows) if d['role'] == 'bank']
    query = [(d, f) for d, f in zip(draws, rows) if d['role'] == 'query']
    bank_labels = [label for d, _ in bank for label in d['labels']]
    labels = [label for d, _ in query for label in d['labels']]
    clean_bank = [z for _, f in bank for z in f[0]]
    full = knn_hits(clean_bank, bank_labels, [z for _, f in query for z in f[0]], labels, 5)
    assert got['oknn_top1'] == pytest.approx(full.mean())
    classes = sorted(set(labels))
    assert got['oknn_class_mean'] == pytest.approx(np.mean([full[np.array(labels) == c].mean() for c in classes]))
    kept = [key in d['chosen'] for d, _ in query for key in d['objects']]
    assert got['oknn_matched_top1'] == pytest.approx(full[kept].mean())
    chosen_labels = [d['labels'][d['objects'].index(key)] for d, _ in query for key in d['chosen']]
    disturbed_query = [z for _, f in query for z in f[1]]
    disturbed = knn_hits([z for _, f in bank for z in f[1]], bank_labels, disturbed_query, chosen_labels, 5)
    assert got['oknn_d_top1'] == pytest.approx(disturbed.mean())
    assert got['oknn_gap'] == pytest.approx(full[kept].mean() - disturbed.mean())
    only = knn_hits(clean_bank, bank_labels, disturbed_query, chosen_labels, 5)
    assert got['oknn_d_query_top1'] == pytest.approx(only.mean())


def test_inter_coupling_equals_the_naive_computation(measured):
    _, features, report = measured
    got = values_of(report)
    pairs = [[np.asarray(rows[0]) for rows in draw] for draw in features[1]]

    def closeness(a, b):
        return max(np.pi / 2 - np.arccos(np.clip(cosine(a, b), -1, 1)), 1e-2)

    center = np.mean([p[0] for p in pairs] + [p[1] for p in pairs], axis=0)
    for reference in ('clean', 'masked'):
        means, medians, ratios, dcos = [], [], [], []
        for r in range(1, 10):
            top = [closeness(p[11 + r], p[0]) for p in pairs]
            bottom = [closeness(p[1 if reference == 'clean' else 1 + r], p[0]) for p in pairs]
            cr = np.array(top) / np.array(bottom)
            means.append(cr.mean()), medians.append(np.median(cr)), ratios.append(np.mean(top) / np.mean(bottom))
            dcos.append(
                np.mean(
                    [
                        cosine(p[11 + r] - center, p[0] - center)
                        - cosine(p[1 if reference == 'clean' else 1 + r] - center, p[0] - center)
                        for p in pairs
                    ]
                )
            )
        key = f'cr_inter_{reference}'
        assert got[f'{key}_mean'] == pytest.approx(np.mean(means), abs=1e-5)
        assert got[f'{key}_median'] == pytest.approx(np.mean(medians), abs=1e-5)
        assert got[f'{key}_ratio_of_means'] == pytest.approx(np.mean(ratios), abs=1e-5)
        assert got[f'{key}_dcos'] == pytest.approx(np.mean(dcos), abs=1e-5)
        assert report['curves'][key]['median'][1:] == pytest.approx(medians, abs=1e-5)


def test_intra_coupling_and_shift_equal_the_naive_computation(measured):
    _, features, report = measured
    got = values_of(report)
    objects = [[np.asarray(rows[0]) for rows in draw] for draw in features[2]]
    for i, key in enumerate(('cr_intra_pixel', 'cr_intra_cell')):
        expected = [1 - cosine(z[2 * i], z[2 * i + 1]) for z in objects]
        assert report['values'][key] == pytest.approx(expected, abs=1e-5)
        assert got[key] == pytest.approx(np.mean(expected), abs=1e-5)
        assert sum(report['histograms'][key]['counts']) == len(expected)
    shifted = [[np.asarray(rows[0]) for rows in draw] for draw in features[3]]
    center = np.mean([z[0] for z in shifted], axis=0)
    assert got['context_shift'] == pytest.approx(
        np.mean([1 - cosine(z[0] - center, z[1] - center) for z in shifted]), abs=1e-5
    )
    assert got['context_shift_raw'] == pytest.approx(np.mean([1 - cosine(*z) for z in shifted]), abs=1e-5)


def test_background_leak_equals_the_naive_computation_and_leaves_out_the_own_image():
    dataset, model = toy_probes(bank=None, measures=[dict(type='BackgroundLeak', k=3)]), ConvModel()
    draws = dataset.manifest['measures'][0]['draws']
    features = [rows[0][0] for rows in reference_features(model, dataset)[0]]
    bank = [(d, z) for d, z in zip(draws, features) if d['role'] == 'bank']
    query = [(d, z) for d, z in zip(draws, features) if d['role'] == 'query']
    hits = knn_hits(
        [z for _, z in bank],
        [d['label'] for d, _ in bank],
        [z for _, z in query],
        [d['label'] for d, _ in query],
        3,
        bank_images=[d['image'] for d, _ in bank],
        images=[d['image'] for d, _ in query],
    )
    assert values_of(measure_model(model, dataset))['background_leak'] == pytest.approx(hits.mean())


def test_a_network_of_single_pixels_does_not_couple():
    got = values_of(measure_model(PixelModel(), toy_probes()))
    assert got['context_shift'] == pytest.approx(0, abs=1e-10)
    assert got['cr_intra_pixel'] == pytest.approx(0, abs=1e-10)
    assert got['cr_intra_cell'] == pytest.approx(0, abs=1e-10)
    assert got['cr_inter_masked_mean'] == got['cr_inter_masked_median'] == 1
    assert got['cr_inter_masked_dcos'] == 0
    assert got['oknn_gap'] == 0
    got = values_of(measure_model(PixelModel(), toy_probes(measures=[dict(type='SpuriousShare', threshold=0.9)])))
    assert got['spurious_share_excess'] == 0 and 0 < got['spurious_share'] == got['spurious_share_apart'] < 1


def test_a_network_that_averages_the_image_couples_strongly():
    got = values_of(measure_model(GlobalModel(), toy_probes()))
    assert got['context_shift'] > 0.3
    assert got['cr_intra_pixel'] > 1e-3
    assert got['cr_inter_masked_dcos'] > 0.3
    assert got['cr_inter_masked_median'] > 1.03
    got = values_of(measure_model(GlobalModel(), toy_probes(measures=[dict(type='SpuriousShare', threshold=0.999)])))
    assert got['spurious_share'] == 1 > got['spurious_share_apart']


def test_shrinking_replaces_masking_on_request():
    report = measure_model(
        PixelModel(), toy_probes(measures=[dict(type='InterCouplingRatio', pairs=5, min_side=8, removal='shrink')])
    )
    assert values_of(report)['cr_inter_shrink_masked_mean'] == 1
    assert report['metrics']['cr_inter_shrink_clean_mean']['count'] == 5


def test_the_mask_token_stands_where_the_removed_cells_are():
    """The token holds the mean color: then it must do what painting the cells does."""
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=24)
    init_default_scope('mmdecouple')
    torch.manual_seed(0)
    backbone = DenseViT(arch, img_size=SIZE, patch_size=CELL, mask_token=True)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model = ForeignNetwork(backbone, MEAN_COLOR.tolist())
    backbone.mask_token.data.copy_(backbone.patch_embed.projection.bias[None])
    painted, replaced = (
        toy_probes(measures=[dict(type='InterCouplingRatio', pairs=5, min_side=8, removal=removal)])
        for removal in ('mask', 'token')
    )
    replaced.manifest['measures'][0]['draws'][:] = painted.manifest['measures'][0]['draws']
    found = values_of(measure_model(model, replaced))
    for name, value in values_of(measure_model(model, painted)).items():
        assert found[name.replace('cr_inter', 'cr_inter_token')] == pytest.approx(value, abs=1e-4), name
    assert abs(found['cr_inter_token_clean_mean'] - 1) > 1e-3
    backbone.mask_token = None
    with pytest.raises(ValueError, match='DenseViT has no mask token to put in place of removed cells'):
        measure_model(model, replaced)


def test_removed_cells_lie_in_the_box_and_grow_with_the_share():
    dataset = toy_probes(measures=[dict(type='InterCouplingRatio', pairs=3, min_side=8)])
    draw = dataset.manifest['measures'][0]['draws'][0]
    box = dataset.sources.singles.boxes(draw['a'])[0]
    whole = dataset[1]['inputs']
    gone = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for step in range(2, 11):
        changed = (dataset[step]['inputs'] != whole).any(0)[:, :SIZE]
        assert (changed | ~gone).all()
        gone |= changed
    rows, columns = gone.nonzero(as_tuple=True)
    assert columns.min() >= box[0] - CELL and columns.max() < box[2] + CELL
    assert rows.min() >= box[1] - CELL and rows.max() < box[3] + CELL


def test_cell_aligned_replacement_never_touches_a_cell_of_the_part():
    dataset = toy_probes(measures=[dict(type='IntraCouplingRatio', min_cells=4, min_part_cells=1)])
    differing = 0
    for start in range(0, len(dataset), 4):
        alone, replaced = dataset[start + 2], dataset[start + 3]
        part = replaced['data_samples'].weights[0]
        touched = part.reshape(SIZE // CELL, CELL, SIZE // CELL, CELL).any(3).any(1)
        pixels = touched.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
        changed = (alone['inputs'] != replaced['inputs']).any(0)
        assert not (changed & pixels).any()
        differing += changed.any().item()
    assert differing > len(dataset) // 8


def test_bad_settings_and_empty_filters_are_one_clear_line():
    with pytest.raises(ValueError, match='OKNN: per_image must be positive, got 0'):
        OKNN(per_image=0)
    with pytest.raises(ValueError, match='BackgroundLeak: temperature must be positive, got 0'):
        BackgroundLeak(temperature=0)
    with pytest.raises(ValueError, match="removal must be one of mask, shrink, token, got 'blur'"):
        InterCouplingRatio(removal='blur')
    with pytest.raises(ValueError, match='no candidate in data set toy2 passes the filter.*min_side'):
        toy_probes(measures=[dict(type='InterCouplingRatio')])
    source = ObjectSource(ToyObjects(backgrounds=False), SIZE, cache=1)
    drawn = BackgroundLeak().draw(Sources(SIZE, CELL, source, source, source), np.random.default_rng(0))
    assert drawn.draws == [] and 'left out' in drawn.notes[0]
