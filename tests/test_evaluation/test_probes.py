"""The probe data set, its manifest, and the metric that reads it."""

import json
import os
import random

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmdecouple.ablation import pieces
from mmdecouple.ablation.pieces import Piece
from mmdecouple.evaluation import CouplingMetric, measure_model
from mmdecouple.evaluation.probes import manifest as probe_manifest
from mmdecouple.evaluation.probes.manifest import write_manifest
from mmdecouple.evaluation.probes.suites import coco_probe
from mmdecouple.networks.inference import exact_float32
from mmdecouple.registry import DATASETS
from mmdecouple.utils.data_spec import read_spec

from .toys import CELL, SIZE, ConvModel, ToyObjects, toy_probes


def test_a_manifest_gives_the_same_probes_and_numbers(tmp_path):
    path = tmp_path / 'deep' / 'manifest.json'
    drawn = toy_probes(manifest=path)
    read = toy_probes(manifest=path)
    assert read.metainfo['manifest_sha256'] == drawn.metainfo['manifest_sha256']
    assert len(drawn) == len(read) > 100
    for index in range(0, len(drawn), 17):
        assert torch.equal(drawn[index]['inputs'], read[index]['inputs'])
    assert measure_model(ConvModel(), drawn) == measure_model(ConvModel(), read)
    assert [file.name for file in path.parent.iterdir()] == ['manifest.json']


def test_numbers_of_the_same_draws_in_other_pixels_do_not_pass_for_the_same(monkeypatch):
    probes = toy_probes(measures=[dict(type='ContextShift')])
    piece = Piece('', {}, dict(type='OKNN'))
    before = probes.metainfo['manifest_sha256'], piece.stem
    for module in (probe_manifest, pieces):
        monkeypatch.setattr(module, 'RENDERING', probe_manifest.RENDERING + 1)
    assert probes.metainfo['manifest_sha256'] != before[0] and piece.stem != before[1]


def test_draws_depend_on_the_seed_and_not_on_the_other_measures():
    alone = toy_probes(measures=[dict(type='ContextShift')]).manifest['measures'][0]['draws']
    together = toy_probes().manifest['measures'][3]['draws']
    other = toy_probes(measures=[dict(type='ContextShift')], seed=1).manifest['measures'][0]['draws']
    assert alone == together != other


def test_a_manifest_that_does_not_fit_is_one_clear_line(tmp_path):
    path = tmp_path / 'manifest.json'
    toy_probes(manifest=path)
    with pytest.raises(ValueError, match='was drawn with size 56, but 112 is requested'):
        toy_probes(manifest=path, size=112)
    manifest = json.loads(path.read_text())
    manifest['measures'][0]['draws'][3]['image'] = 987654
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match='was changed after it was written'):
        toy_probes(manifest=path)
    del manifest['sha256']
    write_manifest(path, manifest)
    with pytest.raises(ValueError, match=r'names image 987654, which data set toy1 \(bank\) lacks'):
        toy_probes(manifest=path)
    manifest['measures'][0]['draws'][3]['image'] = 1000
    manifest['measures'][0]['draws'][3]['objects'] = [5]
    write_manifest(path, manifest)
    with pytest.raises(ValueError, match='names object 5 of image 1000'):
        toy_probes(manifest=path)
    for text in ('{', '[1]', 'null', '[' * 10**5, '{"format": NaN}'):
        path.write_text(text)
        with pytest.raises(ValueError, match='is not a manifest'):
            toy_probes(manifest=path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match='not an ordinary file'):
        toy_probes(manifest=path)


def test_sizes_and_splits_that_do_not_fit_are_one_clear_line():
    with pytest.raises(ValueError, match='size must be a multiple of cell, got size 50 and cell 8'):
        toy_probes(size=50)
    other = ToyObjects(first=5)
    other.classes = ('x', 'y')
    with pytest.raises(ValueError, match='bank toy5 and objects toy0 have different classes'):
        toy_probes(bank=other)


def write_noise(root, images=40, classes=5):
    """A COCO data set of one split, `mine`: noise, one object an image, its class by chance."""
    rng = np.random.default_rng(0)
    (root / 'annotations').mkdir()
    (root / 'mine').mkdir()
    listed, objects = [], []
    for key in range(images):
        cv2.imwrite(str(root / 'mine' / f'{key}.png'), rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
        listed.append(dict(id=key, file_name=f'{key}.png', height=SIZE, width=SIZE))
        objects.append(
            dict(
                id=key + 1,
                image_id=key,
                category_id=int(rng.integers(classes)),
                bbox=[14, 7, 28, 35],
                area=980,
                iscrowd=0,
                segmentation=[[14, 7, 42, 7, 42, 42, 14, 42]],
            )
        )
    names = [dict(id=key, name=f'class {key}') for key in range(classes)]
    (root / 'annotations' / 'instances_mine.json').write_text(
        json.dumps(dict(images=listed, annotations=objects, categories=names))
    )


def test_with_a_single_split_no_object_is_its_own_neighbor(tmp_path):
    """Of labels drawn by chance nobody can tell more than chance, unless an object finds itself."""
    write_noise(tmp_path)
    probe = {
        **coco_probe(read_spec(f'coco:{tmp_path}:mine:mine')),
        'size': SIZE,
        'cell': CELL,
        'measures': [dict(type='OKNN', k=1), dict(type='InterCouplingRatio', pairs=20, min_side=8)],
    }
    (tmp_path / 'link').symlink_to(tmp_path)
    bank = {**probe['bank'], 'ann_file': str(tmp_path / 'link' / 'annotations' / 'instances_mine.json')}
    for one in (None, probe['bank'], bank):
        dataset = DATASETS.build({**probe, 'bank': one})
        found = measure_model(ConvModel(), dataset)['metrics']
        assert max(found[f'oknn{kind}_top1']['value'] for kind in ('', '_d', '_d_query')) < 0.45, one
        pairs = dataset.manifest['measures'][1]['draws']
        assert all(draw['a'] != draw['b'] for draw in pairs)
        assert all(draw['image'] != draw['background'] for draw in dataset.manifest['measures'][0]['draws'])


def test_batch_size_and_workers_change_no_number():
    dataset, model = toy_probes(), ConvModel()
    reports = [
        measure_model(model, dataset, batch_size=size, num_workers=workers)
        for size, workers in ((1, 0), (7, 0), (64, 2))
    ]
    assert reports[0] == reports[1] == reports[2]


def test_measuring_leaves_modes_buffers_and_generators_alone():
    model = ConvModel().train()
    model.net[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, state = [module.training for module in model.modules()], torch.get_rng_state()
    measure_model(model, toy_probes(), num_workers=1)
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_measuring_is_done_in_full_float32_and_puts_the_precision_back():
    model, seen, before = ConvModel(), [], torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    model.net[0].register_forward_hook(
        lambda *_: seen.append(
            (
                cudnn.enabled,
                cudnn.benchmark,
                cudnn.deterministic,
                cudnn.allow_tf32,
                torch.get_float32_matmul_precision(),
                torch.is_grad_enabled(),
            )
        )
    )
    torch.set_float32_matmul_precision('high')
    torch.backends.cudnn.allow_tf32 = True
    try:
        measure_model(model, toy_probes(measures=[dict(type='ContextShift')]))
        assert set(seen) == {(True, False, True, False, 'highest', False)}
        assert torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == 'high'
        exact_float32()
        assert not torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == 'highest'
    finally:
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision(before)


def test_a_model_that_fails_leaves_modes_and_generators_alone():
    model, states = ConvModel().train(), (random.getstate(), torch.get_rng_state())
    model.net[0].register_forward_hook(lambda *_: random.random() + torch.rand(1) / 0 + model.nothing)
    with pytest.raises(AttributeError):
        measure_model(model, toy_probes(measures=[dict(type='ContextShift')]))
    assert model.training and model.net[3].training and random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_progress_counts_probes_to_the_last():
    seen = []
    measure_model(
        ConvModel(),
        toy_probes(measures=[dict(type='ContextShift')]),
        batch_size=8,
        progress=lambda *done: seen.append(done),
    )
    assert seen == [(8, 20), (16, 20), (20, 20)]


def test_repeats_and_order_of_results_do_not_matter_but_gaps_do():
    dataset = toy_probes(measures=[dict(type='ContextShift')])
    metric = CouplingMetric()
    metric.dataset_meta = dataset.metainfo
    rows = [(i, torch.randn(1, 4, generator=torch.Generator().manual_seed(i)).numpy()) for i in range(len(dataset))]
    expected = metric.compute_metrics(rows)
    assert metric.compute_metrics(rows[::-1] + rows[:3]) == expected
    with pytest.raises(ValueError, match='1 of 20 probes were not shown'):
        metric.compute_metrics(rows[1:])


def test_features_that_are_not_finite_are_an_error():
    model = ConvModel()
    model.net[0].bias.data.fill_(float('nan'))
    with pytest.raises(ValueError, match='not finite'):
        measure_model(model, toy_probes(measures=[dict(type='ContextShift')]))


def test_features_without_a_direction_are_remarked():
    class Dead(ConvModel):
        def dense_features(self, images):
            return 0 * super().dense_features(images)

    dataset = toy_probes(measures=[dict(type='ContextShift')])
    note = measure_model(Dead(), dataset)['notes'][-1]
    assert note == f'ContextShift: {len(dataset)} of {len(dataset)} features are zero in every channel.'
    assert not any('zero' in note for note in measure_model(ConvModel(), dataset)['notes'])


def test_the_report_holds_all_that_was_promised(tmp_path):
    path = tmp_path / 'coupling.json'
    report = measure_model(ConvModel(), toy_probes(), metric=CouplingMetric(json=path, config='c.py'))
    saved = json.loads(path.read_text())
    assert saved == report and saved['format'] == 'mmdecouple-coupling/1'
    assert saved['config'] == 'c.py' and saved['checkpoint'] is None and saved['dataset'] == 'toy0'
    for entry in saved['metrics'].values():
        assert set(entry) == {'value', 'low', 'high', 'count'} and entry['low'] <= entry['high']
    for name, histogram in saved['histograms'].items():
        assert len(histogram['edges']) == 51 and sum(histogram['counts']) == len(saved['values'][name])
    assert all(len(saved['groups'][name]) == len(values) for name, values in saved['values'].items())
    assert len(saved['curves']['cr_inter_clean']['ratio']) == 10


def _rank(rank, folder):
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    report = measure_model(ConvModel(), toy_probes(), batch_size=3)
    (folder / f'{rank}.json').write_text(json.dumps(report))
    dist.destroy_process_group()


def test_two_ranks_report_what_one_does(tmp_path):
    mp.spawn(_rank, (tmp_path,), nprocs=2)
    expected = measure_model(ConvModel(), toy_probes())
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == expected


def test_a_limit_counts_images_that_have_objects():
    def drawn(**settings):
        probes = toy_probes(measures=[dict(type='OKNN', **settings)], objects=few, bank=few)
        return probes.manifest['measures'][0], {draw['image'] for draw in probes.manifest['measures'][0]['draws']}

    few = ToyObjects(num_images=12)
    empty = {2, 3, 5, 7, 11}
    for index in empty:
        item = few.items[index]
        few.items[index] = item._replace(**{key: getattr(item, key)[:0] for key in ('boxes', 'labels', 'masks', 'ids')})
    for seed in range(5):
        part, images = drawn(bank_images=4, query_images=4)
        assert len(part['draws']) == 8 and not images & empty and part['notes'] == []
    part, images = drawn(bank_images=9, query_images=9)
    assert len(images) == 7 and part['notes'] == [
        f'OKNN: 7 of 9 {role} images asked for; used what there is.' for role in ('bank', 'query')
    ]
