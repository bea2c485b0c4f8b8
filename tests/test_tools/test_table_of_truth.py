"""The table of truth is up to date, and every place that quotes a published number quotes the same one."""
import json
import sys
from dataclasses import replace

import pytest

from .conftest import CHECKOUT_TOOLS


@pytest.fixture
def truth(monkeypatch):
    monkeypatch.syspath_prepend(str(CHECKOUT_TOOLS / 'misc'))
    import table_of_truth
    return table_of_truth


@pytest.fixture
def published(truth):
    return sys.modules['published_numbers']


def test_the_table_is_up_to_date_and_nothing_disagrees(truth, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['table_of_truth.py', '--check'])
    with pytest.raises(SystemExit) as end:
        truth.main()
    assert not end.value.code, capsys.readouterr().err
    text = truth.OUT.read_text()
    line = next(line for line in text.splitlines() if '[densecl-d_r50_8xb32-800e_coco]' in line and 'VOC' in line)
    assert '57.2 / 82.2 / 63.7' in line and 'Tables 1 and 3' in line and truth.NOT_RUN in line


def test_quotations_are_found_in_headers_readmes_and_ablations(published):
    entries = published.read_entries()
    found = list(published.quotations(entries))
    places = {place for place, *_ in found}
    assert len(found) > 250 and 'README.md' in places
    # Every config with a published number says at least one of them in its header.
    assert {entry.path for entry in entries if entry.tests} <= places
    for part in ('ablations/mask_type.yml', 'ibot/README.md', 'mmdet/faster-rcnn_r50-c4', 'mmseg/upernet'):
        assert any(part in place for place in places), part


def test_a_number_that_drifts_is_named_wherever_it_is_quoted(published):
    entries = published.read_entries()
    path = 'configs/densecl/densecl-d_r50_8xb32-800e_coco.py'
    changed = [replace(entry, tests=[(task, place, {**metrics, **({'box AP': 39.4} if 'COCO' in place else {})})
                                     for task, place, metrics in entry.tests]) if entry.path == path else entry
               for entry in entries]
    lines = published.disagreements(changed)
    assert [line.partition(':')[0] for line in lines] == [
        path, 'README.md', 'configs/densecl/README.md', 'configs/downstream/mmdet/mask-rcnn_r50-c4_90k_coco.py']
    assert lines[0].endswith(f'box AP on COCO val2017 is 39.3, but the metafile has 39.4 for {path}')


def test_what_the_tools_wrote_stands_beside_what_was_published(truth, published, tmp_path):
    own = sys.modules['own_numbers']
    transfer = dict(task='coco-mask-rcnn-c4', seed=0, date='2026-01-02 03:04', options={},
                    pretraining='densecl-d_r50_8xb32-800e_coco_20260101_000000, 800 epochs',
                    metrics={'coco/bbox_mAP': 0.381, 'coco/segm_mAP': 0.33, 'coco/bbox_mAP_s': 0.2})
    smoke = {**transfer, 'task': 'coco-mask-rcnn-c4 (scenes, a smoke run)', 'metrics': {'coco/bbox_mAP': 0.9}}
    again = {**transfer, 'seed': 1, 'metrics': {'coco/bbox_mAP': 0.383}, 'options': {'train_cfg.max_iters': '9'}}
    (tmp_path / 'results.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in (transfer, smoke, again)))
    coupling = dict(format='mmdecouple-coupling/1', config='work_dirs/x/densecl-d_r50_8xb32-800e_coco.py',
                    checkpoint='x.pth', dataset='instances_val2017',
                    metrics=dict(oknn_top1=dict(value=0.7449, count=707), cr_intra_cell=dict(value=0.123)))
    (tmp_path / 'coupling.json').write_text(json.dumps(coupling))
    (tmp_path / 'scenes.json').write_text(json.dumps({**coupling, 'dataset': 'scenes-val'}))
    (tmp_path / 'untrained.json').write_text(json.dumps({**coupling, 'checkpoint': None}))
    segment = dict(val=dict(name='voc12-val'), class_iou={}, checkpoint='y.pth',
                   config='leopart_vit-s16_2xb32-50e_coco.py',
                   metrics=dict(linear_miou=dict(value=0.6512), overcluster_500_majority_miou=dict(value=0.4444)))
    (tmp_path / 'segment.json').write_text(json.dumps(segment))
    lines = truth.main_table(published.read_entries(), own.read_own_numbers(tmp_path)).splitlines()

    def ours(config, dataset):
        line = next(line for line in lines if f'[{config}]' in line and f'| {dataset}: ' in line)
        return line.removesuffix(' |').split(' | ')[3:]
    test, _, _, value, source = ours('densecl-d_r50_8xb32-800e_coco', 'COCO val2017')
    assert test.startswith('COCO val2017: box AP / box AP50') and value == '38.2 / – / – / 33.0 / – / –'
    assert source == ('results.jsonl, line 1 (seed 0, 2026-01-02); '
                      'results.jsonl, line 3 (seed 1, 2026-01-02, with options)')
    test, _, _, value, source = ours('densecl-d_r50_8xb32-800e_coco', 'COCO val2017 objects')
    assert test.endswith('OKNN-D top 5 / CR intra') and value == '74.5 / – / – / – / 0.12'
    assert source == 'coupling.json (OKNN top 1: 707 objects); coupling.json'
    assert ours('leopart_vit-s16_2xb32-50e_coco', 'PASCAL VOC 12 val')[3] == '65.1 / – / 44.4'
    assert ours('densecl-d_r50_8xb32-800e_coco', 'PASCAL VOC 07 test')[3] == truth.NOT_RUN


def test_rows_of_an_ablation_stand_beside_the_papers_column(truth, tmp_path):
    own = sys.modules['own_numbers']
    row = dict(table='mask_type', scale='demo', group='iBOT', row='RCC', setting='', seed=0,
               metrics=dict(oknn_top1=dict(value=0.4), cr_intra_cell=dict(value=0.05)))
    second = {**row, 'seed': 1, 'metrics': dict(oknn_top1=dict(value=0.42))}
    (tmp_path / 'rows.jsonl').write_text(f'{json.dumps(row)}\n{json.dumps(second)}\n')
    assert own.read_own_numbers(tmp_path) == []
    text = truth.ablation_table(truth.read_table('mask_type'), own.read_ablation_rows(tmp_path))
    line = next(line for line in text.splitlines() if line.startswith('| iBOT/RCC |'))
    assert '42.0 / 74.1 / 1.16 / 0.04 | not run here | – / 41.0 / – / 0.05 | rows.jsonl (2 runs) |' in line


@pytest.mark.parametrize('text, words', [
    ('{"a": 1}', 'x.json is no result of transfer.py'), ('{"a', 'no JSON'), ('[1]', 'holds a list')])
def test_a_file_that_is_no_result_is_named(truth, tmp_path, text, words):
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(ValueError, match=words):
        sys.modules['own_numbers'].read_own_numbers(tmp_path)
