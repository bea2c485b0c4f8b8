"""The table of truth is up to date, and every place that quotes a published number quotes the same one."""

import json
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mmdecouple.networks.network import open_network
from mmdecouple.table_of_truth import document, own, published
from tests.test_visualization.synthetic import write_run
from tests.test_visualization.tiny import CONFIG

from .conftest import load_tool


def test_the_table_is_up_to_date_and_nothing_disagrees(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['table_of_document.py', '--check'])
    with pytest.raises(SystemExit) as end:
        load_tool('table_of_truth', 'misc').main()
    assert not end.value.code, capsys.readouterr().err
    text = document.OUT.read_text()
    line = next(line for line in text.splitlines() if '[densecl-d_r50_8xb32-800e_coco]' in line and 'VOC' in line)
    assert '57.2 / 82.2 / 63.7' in line and 'Tables 1 and 3' in line and document.NOT_RUN in line


def test_quotations_are_found_in_headers_readmes_and_ablations():
    entries = published.read_entries()
    found = list(published.quotations(entries))
    places = {place for place, *_ in found}
    assert len(found) > 250 and 'README.md' in places
    # Every config with a published number says at least one of them in its header.
    assert {entry.path for entry in entries if entry.tests} <= places
    for part in ('ablations/mask_type.yml', 'ibot/README.md', 'mmdet/faster-rcnn_r50-c4', 'mmseg/upernet'):
        assert any(part in place for place in places), part


def test_a_number_that_drifts_is_named_wherever_it_is_quoted():
    entries = published.read_entries()
    path = 'configs/densecl/densecl-d_r50_8xb32-800e_coco.py'
    changed = [
        replace(
            entry,
            tests=[
                (task, place, {**metrics, **({'box AP': 39.4} if 'COCO' in place else {})})
                for task, place, metrics in entry.tests
            ],
        )
        if entry.path == path
        else entry
        for entry in entries
    ]
    lines = published.disagreements(changed)
    assert [line.partition(':')[0] for line in lines] == [
        path,
        'README.md',
        'configs/densecl/README.md',
        'configs/downstream/mmdet/mask-rcnn_r50-c4_90k_coco.py',
    ]
    assert lines[0].endswith(f'box AP on COCO val2017 is 39.3, but the metafile has 39.4 for {path}')


def test_what_the_tools_wrote_stands_beside_what_was_published(tmp_path):
    transfer = dict(
        task='coco-mask-rcnn-c4',
        seed=0,
        date='2026-01-02 03:04',
        options={},
        pretraining='densecl-d_r50_8xb32-800e_coco_20260101_000000, 800 epochs',
        metrics={'coco/bbox_mAP': 0.381, 'coco/segm_mAP': 0.33, 'coco/bbox_mAP_s': 0.2},
    )
    smoke = {**transfer, 'task': 'coco-mask-rcnn-c4 (scenes, a smoke run)', 'metrics': {'coco/bbox_mAP': 0.9}}
    other = {**transfer, 'arch': 'resnet18'}
    again = {
        **transfer,
        'arch': 'resnet50',
        'seed': 1,
        'metrics': {'coco/bbox_mAP': 0.383},
        'options': {'train_cfg.max_iters': '9'},
    }
    (tmp_path / 'results.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in (transfer, smoke, again, other)))
    segment = dict(
        val=dict(name='voc12-val', images=1449),
        class_iou={},
        checkpoint='y.pth',
        config='leopart_vit-s16_2xb32-50e_coco.py',
        metrics=dict(linear_miou=dict(value=0.6512), overcluster_500_majority_miou=dict(value=0.4444)),
    )
    (tmp_path / 'segment.json').write_text(json.dumps(segment))
    (tmp_path / 'quick.json').write_text(json.dumps({**segment, 'val': dict(name='voc12-val', images=128)}))
    found, left_out = own.read_own_numbers(tmp_path)
    assert left_out == [
        'quick.json is not in the table: 128 images are not the 1449 of voc12-val.',
        'results.jsonl, line 2 is not in '
        'the table: no number was published for the task coco-mask-rcnn-c4 (scenes, a smoke run).',
        'results.jsonl, line 4 is not in the table: the task was built on resnet18, another network than the published '
        'one.',
    ]
    lines = document.main_table(published.read_entries(), found).splitlines()

    def ours(config, dataset):
        line = next(line for line in lines if f'[{config}]' in line and f'| {dataset}: ' in line)
        return line.removesuffix(' |').split(' | ')[3:]

    test, _, _, value, source = ours('densecl-d_r50_8xb32-800e_coco', 'COCO val2017')
    assert test.startswith('COCO val2017: box AP / box AP50') and value == '38.2 / – / – / 33.0 / – / –'
    assert source == (
        'results.jsonl, line 1 (seed 0, 2026-01-02); results.jsonl, line 3 (seed 1, 2026-01-02, with options)'
    )
    assert ours('leopart_vit-s16_2xb32-50e_coco', 'PASCAL VOC 12 val')[3] == '65.1 / – / 44.4'
    assert ours('densecl-d_r50_8xb32-800e_coco', 'PASCAL VOC 07 test')[3] == document.NOT_RUN


def write_coco(root, images):
    """A folder with the names of COCO in which only three images of each split hold objects."""
    (root / 'annotations').mkdir(parents=True)
    cv2.imwrite(str(root / 'gray.png'), np.full((32, 32, 3), 90, np.uint8))
    for split, count in (('train2017', 3), ('val2017', images)):
        (root / split).mkdir()
        listed = [dict(id=key, file_name=f'{key}.png', height=32, width=32) for key in range(count)]
        objects = [
            dict(
                id=key + 1,
                image_id=key,
                category_id=key % 2,
                bbox=[4, 4, 24, 24],
                area=576,
                iscrowd=0,
                segmentation=[[4, 4, 28, 4, 28, 28, 4, 28]],
            )
            for key in range(3)
        ]
        for image in listed:
            (root / split / image['file_name']).hardlink_to(root / 'gray.png')
        (root / 'annotations' / f'instances_{split}.json').write_text(
            json.dumps(
                dict(images=listed, annotations=objects, categories=[dict(id=key, name=str(key)) for key in range(2)])
            )
        )


def test_a_report_of_coupling_py_counts_for_the_whole_of_val2017_alone(tmp_path):
    """The reports are those that the tool writes of a run folder, whose config carries the time of its start."""
    stem = 'densecl-d_r50_8xb32-800e_coco'
    coupling, results = load_tool('coupling'), tmp_path / 'results'
    for name, images in (('coco', 5000), ('small', 4)):
        write_coco(tmp_path / name, images)
    run = write_run(tmp_path / 'run', None, config=CONFIG)
    config = (run / 'toy_config.py').rename(run / f'{stem}_20260101_000000.py')
    model = open_network(str(config)).model
    torch.save(dict(state_dict=model.state_dict(), meta={}), run / 'epoch_1.pth')
    for name, network, data, *more in (
        ('whole', run, 'coco'),
        ('small', run, 'small'),
        ('quick', run, 'coco', '--limit', '4999'),
        ('larger', run, 'coco', '--size', '256'),
        ('untrained', config, 'coco'),
    ):
        coupling.main(
            [
                str(network),
                '--data',
                f'coco:{tmp_path / data}',
                '--measures',
                'OKNN',
                '--names',
                name,
                '--out',
                str(results),
                *more,
            ]
        )
    found, left_out = own.read_own_numbers(results)
    value = json.loads((results / 'whole.json').read_text())['metrics']['oknn_top1']['value']
    assert {number.source for number in found} == {'whole.json'}
    assert own.OwnNumber(stem, ('COCO val2017 objects', 'OKNN top 1'), 100 * value, 'whole.json') in found
    assert [line.partition(' is not in the table: ')[::2] for line in left_out] == [
        ('larger.json', 'images were shown at 256 pixels, not at 224.'),
        (
            'quick.json',
            "a measure had other settings than its own: {'type': 'OKNN', 'bank_images': 4999, 'query_images': 4999}.",
        ),
        ('small.json', '4 images of small-val2017 are not the 5000 of COCO val2017.'),
        ('untrained.json', 'its network is untrained.'),
    ]
    line = next(
        line
        for line in document.main_table(published.read_entries(), found).splitlines()
        if f'[{stem}]' in line and 'COCO val2017 objects' in line
    )
    assert line.endswith('| whole.json |') and f' {100 * value:.1f} / ' in line


def test_rows_of_an_ablation_stand_beside_the_papers_column(tmp_path):
    row = dict(
        table='mask_type',
        scale='demo',
        group='iBOT',
        row='RCC',
        setting='',
        seed=0,
        metrics=dict(oknn_top1=dict(value=0.4), cr_intra_pixel=dict(value=0.05)),
    )
    second = {**row, 'seed': 1, 'metrics': dict(oknn_top1=dict(value=0.42))}
    (tmp_path / 'rows.jsonl').write_text(f'{json.dumps(row)}\n{json.dumps(second)}\n')
    assert own.read_own_numbers(tmp_path) == ([], [])
    text = document.ablation_table(document.read_table('mask_type'), own.read_ablation_rows(tmp_path))
    line = next(line for line in text.splitlines() if line.startswith('| iBOT/RCC |'))
    assert '42.0 / 74.1 / 1.16 / 0.04 | not run here | – / 41.0 / – / 0.05 | rows.jsonl (2 runs) |' in line


@pytest.mark.parametrize(
    'text, words', [('{"a": 1}', 'x.json is not a result of transfer.py'), ('{"a', 'not JSON'), ('[1]', 'holds a list')]
)
def test_a_file_that_is_no_result_is_named(tmp_path, text, words):
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(ValueError, match=words):
        own.read_own_numbers(tmp_path)
