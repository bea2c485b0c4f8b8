"""The other readings of measures that the paper leaves open, against naive computations."""

import numpy as np
import pytest
import torch

from mmdecouple.evaluation import LSC, InterCouplingRatio, measure_model
from mmdecouple.evaluation.measures.canvas import MEAN_COLOR
from mmdecouple.models import DenseViT
from mmdecouple.networks.foreign import ForeignNetwork, timm_network

from .test_measures import box_feature, cosine, knn_hits, part_feature, reference_features, values_of
from .toys import CELL, SIZE, ConvModel, PixelModel, toy_probes

PAIRS = dict(type='InterCouplingRatio', pairs=5, min_side=8)


def small_vit(**settings):
    torch.manual_seed(0)
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
    backbone = DenseViT(arch, img_size=SIZE, patch_size=CELL, **settings)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return ForeignNetwork(backbone, MEAN_COLOR.tolist()).eval()


def normalized(pixels):
    return torch.from_numpy((pixels - MEAN_COLOR.astype(np.float32)) / np.float32([58.395, 57.12, 57.375])).permute(
        2, 0, 1
    )


def test_objects_alone_at_full_size_equal_the_naive_computation():
    dataset, model = toy_probes(measures=[dict(PAIRS, alone='full')]), small_vit()
    report = measure_model(model, dataset, batch_size=7)
    source, closeness = dataset.sources.singles, []

    def feature(pixels, box):
        dense = model.dense_features(normalized(pixels)[None])[0].double().numpy()
        return box_feature(dense, box, pixels.shape[1])

    def close(a, b):
        return max(np.pi / 2 - np.arccos(cosine(a, b)), 1e-2)

    for draw in dataset.manifest['measures'][0]['draws']:
        a, b = source.pixels(draw['a']), source.pixels(draw['b'])
        box_a, box_b = source.boxes(draw['a'])[0], source.boxes(draw['b'])[0]
        seen_b, rows = feature(b, box_b), []
        for step in range(10):
            removed = a.copy()
            for cell in draw['cells'][: round(step / 10 * len(draw['cells']))]:
                y, x = (CELL * place for place in divmod(cell, SIZE // CELL))
                removed[y : y + CELL, x : x + CELL] = MEAN_COLOR
            beside = np.concatenate([removed, b], axis=1)
            rows.append((close(feature(beside, box_a), seen_b), close(feature(removed, box_a), seen_b)))
        closeness.append(rows)
    beside, alone = np.moveaxis(np.array(closeness), 2, 0)
    for reference, below in (('clean', alone[:, :1]), ('masked', alone)):
        ratio = (beside / below)[:, 1:]
        assert report['values'][f'cr_inter_full_{reference}'] == pytest.approx(ratio.mean(1), abs=1e-4)
        assert report['metrics'][f'cr_inter_full_{reference}_mean']['value'] == pytest.approx(ratio.mean(), abs=1e-4)
    assert ratio.std() > 1e-3


@pytest.mark.parametrize('removal', ['mask', 'shrink'])
def test_a_network_of_single_pixels_scores_the_same_with_and_without_the_blank_half(removal):
    half, full = (toy_probes(measures=[dict(PAIRS, removal=removal, alone=alone)]) for alone in ('half', 'full'))
    full.manifest['measures'][0]['draws'][:] = half.manifest['measures'][0]['draws']
    half, full = (values_of(measure_model(PixelModel(), probes)) for probes in (half, full))
    assert list(full.values()) == pytest.approx(list(half.values()), abs=1e-6)
    assert [key.replace('_full', '') for key in full] == list(half)


def test_the_mask_token_lies_on_the_grid_of_the_object_alone():
    dataset = toy_probes(measures=[dict(PAIRS, removal='token', alone='full')])
    grid, cells = SIZE // CELL, set(dataset.manifest['measures'][0]['draws'][0]['cells'])
    whole = dataset[10]['data_samples'].masked
    assert whole.shape == (grid, grid) and dataset[20]['data_samples'].masked.shape == (grid, 2 * grid)
    assert 0 < whole.sum() == round(0.9 * len(cells)) and set(whole.flatten().nonzero()[:, 0].tolist()) <= cells
    assert np.isfinite(list(values_of(measure_model(small_vit(mask_token=True), dataset)).values())).all()


def test_the_class_token_of_a_crop_equals_a_loop_over_the_cells():
    dataset, model = (
        toy_probes(measures=[dict(type='LSC', images=3, window=3, crop_feature='class_token')]),
        small_vit(),
    )
    report = measure_model(model, dataset, batch_size=13)
    expected = []
    for draw in dataset.manifest['measures'][0]['draws']:
        pixels = dataset.sources.query.pixels(draw['image'])
        whole = model.dense_features(normalized(pixels)[None])[0].double().numpy()
        padded = np.pad(pixels, ((CELL, CELL), (CELL, CELL), (0, 0)), mode='reflect')
        values = []
        for i in range(SIZE // CELL):
            for j in range(SIZE // CELL):
                crop = padded[i * CELL : (i + 3) * CELL, j * CELL : (j + 3) * CELL]
                tokens = model.backbone(normalized(crop)[None])[0][0].detach().double().numpy()
                near = whole[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].reshape(len(whole), -1).mean(1)
                values.append(cosine(tokens[0], near))
        expected.append(np.mean(values))
    assert report['values']['lsc_class_mean'] == pytest.approx(expected, abs=1e-5)
    usual = toy_probes(measures=[dict(type='LSC', images=3, window=3)])
    assert values_of(measure_model(model, usual))['lsc_mean'] - np.mean(expected) > 0.01


def test_a_majority_of_neighbors_equals_the_naive_vote():
    dataset, model = toy_probes(measures=[dict(type='OKNN', k=6, temperature=None)]), ConvModel()
    report, rows = measure_model(model, dataset), reference_features(model, dataset)[0]
    bank, query = (
        [(draw, row) for draw, row in zip(dataset.manifest['measures'][0]['draws'], rows) if draw['role'] == role]
        for role in ('bank', 'query')
    )
    tables = [
        ([label for draw, _ in part for label in draw['labels']], [z for _, row in part for z in row[0]])
        for part in (bank, query)
    ]
    (bank_labels, bank_rows), (labels, queries) = tables
    hits = knn_hits(bank_rows, bank_labels, queries, labels, 6, weight=lambda similarity: 1.0)
    assert report['values']['oknn_top1'] == hits.astype(float).tolist()
    assert (hits != knn_hits(bank_rows, bank_labels, queries, labels, 6)).any()


def test_all_outside_the_part_is_replaced_where_that_is_asked_for():
    settings = dict(type='IntraCouplingRatio', min_cells=4, min_part_cells=1)
    dataset, model = toy_probes(measures=[dict(settings, region='all_outside')]), ConvModel().eval()
    source, expected = dataset.sources.bank, []
    for draw in dataset.manifest['measures'][0]['draws']:
        image, other = source.pixels(draw['image']), source.pixels(draw['background'])
        x1, y1, x2, y2 = source.chosen(draw['image'], [draw['object']])[0]
        middle = round(float(x1 + x2) / 2), round(float(y1 + y2) / 2)
        rows, columns = np.mgrid[:SIZE, :SIZE]
        part = (
            source.mask(draw['image'], draw['object'])
            & ((rows >= middle[1]) == (draw['quadrant'] >= 2))
            & ((columns >= middle[0]) == draw['quadrant'] % 2)
        )
        features = []
        for outside in (np.broadcast_to(MEAN_COLOR, image.shape), other):
            shown = torch.from_numpy(np.where(part[..., None], image, outside)).permute(2, 0, 1)
            with torch.no_grad():
                dense = model.dense_features((shown[None].float() - 118) / 57)[0].double().numpy()
            features.append(part_feature(dense, part.astype(float)))
        expected.append(1 - cosine(*features))
    assert measure_model(model, dataset)['values']['cr_intra_pixel'] == pytest.approx(expected, abs=1e-5)


def test_an_unknown_reading_or_a_network_without_a_class_token_is_one_clear_line():
    with pytest.raises(ValueError, match="alone must be one of half, full, got 'whole'"):
        InterCouplingRatio(alone='whole')
    with pytest.raises(ValueError, match="crop_feature must be one of patches, class_token, got 'cls'"):
        LSC(crop_feature='cls')
    with pytest.raises(ValueError, match='TimmBackbone has no class token'):
        measure_model(
            timm_network('resnet18'),
            toy_probes(measures=[dict(type='LSC', images=1, window=1, crop_feature='class_token')], size=96, cell=32),
        )
