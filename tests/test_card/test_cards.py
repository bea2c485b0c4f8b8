"""The command `card` as a user runs it: all rows, a stopped card, another card, the page."""

import json
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest

from mmdecouple.card.coupling import CouplingPiece
from mmdecouple.card.measure import merged
from mmdecouple.commands import card
from mmdecouple.evaluation.segmentation import LinearSegmentation, SegmentationImages, measure_segmentation
from mmdecouple.evaluation.segmentation.label_sources import LabelFiles
from mmdecouple.networks.network import open_network
from tests.test_visualization.browsers import headless_browser
from tests.test_visualization.test_report import COLORS, HIDDEN, LOOKS, contrast

from .toys import write_camvid

NETWORKS = ('timm:test_vit2', 'timm:test_resnet')
SEGMENTATION = ('linear', 'taps', 'clusters', 'retrieval', 'retrieval_d')


def run(*words):
    """Calls the command with the words of a command line."""
    card.main([str(word) for word in words])


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_camvid(tmp_path_factory.mktemp('data') / 'toy')


@pytest.fixture(scope='module')
def made(data, tmp_path_factory):
    """The folder of the cards of two networks, and their words."""
    out = tmp_path_factory.mktemp('card')
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(LabelFiles, 'size', 224)  # a quarter of the time of 448
    words = [*NETWORKS, '--names', 'vit', 'resnet', '--data', f'camvid:{data}', '--limit', 4, '--out', out]
    run(*words)
    yield out, words
    monkeypatch.undo()


def cards(out):
    return {name: json.loads((out / f'{name}.json').read_text()) for name in ('vit', 'resnet')}


def test_every_row_has_its_value_in_its_interval_and_its_protocol_and_time(made):
    for report in cards(made[0]).values():
        rows = {row['key']: row for row in report['rows']}
        assert len(rows) == len(report['rows']) > 20
        for name in SEGMENTATION if report['name'] == 'vit' else ('linear', 'taps', 'retrieval', 'retrieval_d'):
            small, large, gap = (rows[f'{name}_{end}'] for end in (100, 224, 'gap'))
            assert gap['value'] == pytest.approx(small['value'] - large['value'])
            assert 0 <= small['value'] <= 1 and small['count'] == 4 and small['better'] == 'higher'
            assert '100 px' in small['name'] and '224 px' in large['name'] and not gap['better']
        for key in ('oknn_class_mean', 'oknn_top1', 'oknn_d_top1', 'context_shift', 'lsc_mean'):
            assert key in rows
        for row in rows.values():
            assert row['low'] <= row['value'] <= row['high'] and row['unit'], row['key']
            assert len(row['protocol']) > 80 and row['seconds'] >= 0
        left_out = {title: part['reason'] for part in report['left_out'] for title in part['titles']}
        assert 'exactly one object' in left_out['CR inter'] and 'got 4 and 7' in left_out['position leak']
        assert ('K = 500' in left_out) == (report['name'] == 'resnet')
        assert report['seconds'] == pytest.approx(sum(part['seconds'] for part in report['pieces'].values()), abs=0.1)


def test_rows_of_heads_are_the_numbers_of_the_segmentation_measures(made, data):
    network, report = open_network('timm:test_vit2'), cards(made[0])['vit']
    splits = [SegmentationImages(f'camvid:{data}', split, 224, 4) for split in ('train', 'val')]
    settings = dict(min_steps=1000, batch_size=16, lr=0.1, grid=56, augment=False, batch_norm=True)
    rows = {row['key']: row['value'] for row in report['rows']}
    for size in (100, 224):
        found = measure_segmentation(network.model, *splits, [LinearSegmentation(**settings, eval_size=size)])
        assert rows[f'linear_{size}'] == pytest.approx(found['metrics']['linear_miou_present']['value'], abs=2e-3)


def test_differences_of_two_networks_are_paired(made):
    first, second = cards(made[0]).values()
    assert 'differences' not in first and second['differences']['to'] == 'vit'
    ours, theirs = (merged(one)['metrics'] for one in (second, first))
    assert second['differences']['metrics'].keys() == ours.keys() & theirs.keys()
    for key, change in second['differences']['metrics'].items():
        assert change['value'] == pytest.approx(ours[key]['value'] - theirs[key]['value'], abs=1e-9)
        assert change['low'] is None or change['low'] <= change['high']
    resamples = [np.array(one['pieces']['taps']['resamples']['taps_224']) for one in (second, first)]
    ends = np.percentile(resamples[0] - resamples[1], [2.5, 97.5])
    change = second['differences']['metrics']['taps_224']
    assert [change['low'], change['high']] == pytest.approx(ends.tolist())


def test_the_same_command_measures_nothing_again_and_other_settings_do(made, tmp_path, capsys, monkeypatch):
    out = shutil.copytree(made[0], tmp_path / 'card')
    words = [*made[1][:-1], out]
    before = cards(out)
    run(*words)
    printed = capsys.readouterr().out
    assert re.match(r'Expected time: about 10 s \((\d+) of \1 parts are measured already\)\.', printed)
    assert cards(out) == before
    monkeypatch.setattr(CouplingPiece, 'run', lambda *_: pytest.fail('measured'))
    with pytest.raises(pytest.fail.Exception):
        run(*words, '--seed', 1)


def test_a_stopped_card_continues_to_the_same_numbers(made, tmp_path, monkeypatch, capsys):
    out, words = made
    words = [*words[:-1], tmp_path]
    whole = cards(out)
    kept = {name: whole['vit']['pieces'][name] for name in ('linear', 'taps', 'clusters', 'retrieval')}
    (tmp_path / 'vit.json').write_text(json.dumps(dict(whole['vit'], pieces=kept)))
    shutil.copy(out / 'resnet.json', tmp_path)
    measure = CouplingPiece.run

    def stop_at_lsc(self, reading):
        if self.name == 'LSC':
            raise KeyboardInterrupt
        return measure(self, reading)

    monkeypatch.setattr(CouplingPiece, 'run', stop_at_lsc)
    with pytest.raises(SystemExit) as end:
        run(*words)
    assert end.value.code == 130 and 'run the same command to continue' in capsys.readouterr().out
    pieces = json.loads((tmp_path / 'vit.json').read_text())['pieces']
    assert list(pieces) == [*kept, 'OKNN', 'ContextShift']
    monkeypatch.setattr(CouplingPiece, 'run', measure)
    run(*words)
    said = capsys.readouterr().out.partition('Card on')[0]
    assert re.findall(r'^(\w+: .+): \d+ s$', said, re.MULTILINE) == ['vit: LSC', 'vit: spurious share']
    for ours, theirs in zip(cards(tmp_path)['vit']['rows'], whole['vit']['rows'], strict=True):
        assert ours['key'] == theirs['key']
        for what in ('value', 'low', 'high'):
            assert ours[what] == pytest.approx(theirs[what], abs=1e-5)


def test_a_folder_has_the_rows_without_annotations_and_says_what_is_left_out(data, tmp_path, capsys):
    run('timm:test_vit2', '--names', 'vit', '--data', f'folder:{data / "images"}', '--limit', 3, '--out', tmp_path)
    printed = capsys.readouterr().out
    rows = [row['key'] for row in json.loads((tmp_path / 'vit.json').read_text())['rows']]
    assert {'cr_intra_regions_cell', 'context_shift_regions', 'lsc_mean'} <= set(rows)
    assert not any(key.startswith(('oknn', 'linear', 'cr_inter')) for key in rows)
    assert re.search(r'Left out: linear; linear, four taps; K = 500; retrieval; retrieval-D: label maps', printed)
    assert re.search(r'Left out: OKNN and OKNN-D; CR inter: annotated objects are needed', printed)
    assert re.search(
        r'Left out: position leak: at least 10 images and 2 cells per side are needed, got 3 and 14', printed
    )


def test_the_page_can_be_read_on_wide_narrow_and_dark_screens(made):
    """Screenshots are in the folder `screens` beside the page, below pytest's `--basetemp`."""
    page = made[0] / 'card.html'
    text = page.read_text()
    assert '<script' not in text and 'url(' not in text and re.findall(r'(?:src|href)=', text) == []
    for report in cards(made[0]).values():
        for row in report['rows']:
            assert f'data-run="{report["name"]}" data-metric="{row["key"]}" data-value="{row["value"]}"' in text
    with headless_browser() as browser:
        for name, (width, scheme) in LOOKS.items():
            tab = browser.new_page(viewport=dict(width=width, height=900), color_scheme=scheme)
            tab.goto(page.as_uri())
            tab.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
            tab.screenshot(path=page.parent / 'screens' / f'{name}.png', full_page=True)
            assert tab.evaluate('document.documentElement.scrollWidth') <= width
            assert tab.locator('[data-value] > *').evaluate_all(HIDDEN) == []
            assert (
                min(map(contrast, tab.locator('h1, h2, h3, p, li, small, b, th, dt, dd').evaluate_all(COLORS))) >= 4.5
            )
            levels = tab.locator('h1, h2, h3').evaluate_all('nodes => nodes.map(node => +node.tagName[1])')
            assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))
            tab.close()
