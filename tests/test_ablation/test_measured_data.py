"""Rows that are measured on data that the table names: pieces, columns, and differences over images."""

import json

import numpy as np
import pytest
from PIL import Image

from mmdecouple.ablation import read_table
from mmdecouple.ablation.columns import measured_columns
from mmdecouple.ablation.execute import _measuring
from mmdecouple.ablation.figure import write_figures
from mmdecouple.ablation.finalize import figures_folder, finish
from mmdecouple.ablation.plan import plan_runs
from mmdecouple.ablation.rows import Figures, raw_rows
from mmdecouple.ablation.run_measures import measure_missing
from mmdecouple.ablation.table_text import markdown

TABLE = """
title: On street scenes
source: nobody
columns: ['Streets: mIoU linear', 'Streets: context shift', 'Scenes: LSC']
image_intervals: true
measured:
  Streets:
    data: camvid:ROOT
    size: 64
    cell: 8
    measures:
      - {type: LinearSegmentation, augment: false, epochs: 2, drop_at: 1, batch_size: 2, grid: 16, eval_size: 16}
      - {type: ContextShift}
  Scenes: {data: scenes, size: 48, measures: [{type: LSC, images: 3, window: 3}]}
groups:
  DenseCL:
    base: {demo: demo/densecl_resnet-demo_scenes.py}
    reference: narrow
    rows:
      narrow:
        untrained: true
        demo: {model.backbone.stem_channels: 8, model.backbone.base_channels: 8, model.neck.in_channels: 32}
      wide:
        untrained: true
        demo: {model.backbone.stem_channels: 16, model.backbone.base_channels: 16, model.neck.in_channels: 64}
"""


def write(folder, *changes):
    text = TABLE.replace('ROOT', str(folder / 'camvid'))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / 'streets.yml').write_text(text)
    return str(folder / 'streets.yml')


@pytest.fixture
def streets(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (('train', 4), ('test', 5)):
        for i in range(count):
            labels = np.full((64, 64), 3, np.uint8)
            labels[8:40, 8 + i : 40] = 8
            labels[44:60, 20:50] = 6
            pixels = (labels[..., None] * [9, 20, 5] + rng.integers(0, 60, (64, 64, 3))).astype(np.uint8)
            for kind, content in (('images', pixels), ('annotations', labels)):
                path = tmp_path / 'camvid' / kind / part / f'{i}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(content).save(path)
    return tmp_path


def measured(folder):
    table = read_table(write(folder))
    runs = plan_runs(table, 'demo', folder / 'out', seeds=[0])
    for run in runs:
        finish(run)
        config, pieces, weights, seed, out = _measuring(run)[-5:]
        measure_missing(config, type(run.folder)(pieces), weights, int(seed), type(run.folder)(out))
    return table, runs


def test_every_piece_is_a_file_and_its_metrics_and_paired_differences_are_columns(streets):
    table, runs = measured(streets)
    rows = raw_rows(table, 'demo', runs)
    reports = {}
    for run, row in zip(runs, rows):
        files = [piece.file(figures_folder(run)) for piece in run.pieces]
        assert len(files) == 3 and all(path.is_file() for path in files)
        reports[row['row']] = [json.loads(path.read_text()) for path in files]
        assert {'Streets/linear_miou', 'Streets/context_shift', 'Scenes/lsc_mean'} <= set(row['metrics'])
    (mine,) = [row for row in rows if row['row'] == 'wide']
    found = mine['differences']['narrow']
    assert set(found) == {spec.key for spec in measured_columns(table.columns).values()}
    (linear, shift, _), (other, others, _) = reports['wide'], reports['narrow']
    change = np.subtract(linear['resamples']['linear_miou'], other['resamples']['linear_miou'])
    expected = linear['metrics']['linear_miou']['value'] - other['metrics']['linear_miou']['value']
    assert found['Streets/linear_miou'] == pytest.approx((expected, *np.percentile(change, [2.5, 97.5])))
    change = np.subtract(shift['values']['context_shift'], others['values']['context_shift'])
    value, low, high = found['Streets/context_shift']
    assert value == pytest.approx(change.mean()) and change.min() <= low <= value <= high <= change.max()
    text = markdown(table, rows, 'demo')
    assert '| wide minus narrow | 0 | ' in text
    assert 'DenseCL: differences on the same images' in text
    assert [path.name for path in write_figures(table, rows, 'demo', streets)] == ['figure.png', 'differences.png']
    seeds = Figures(rows).over_images('DenseCL', 'wide', '', 'Scenes/lsc_mean', minus='narrow')
    assert list(seeds) == [0] and seeds[0].low < seeds[0].value < seeds[0].high


@pytest.mark.parametrize(
    'old, new, line',
    [
        ('data: scenes', 'data: scenery', r"measured.Scenes.data: data 'scenery' is neither"),
        ('data: scenes, ', '', 'measured.Scenes.data is missing; add it'),
        ('size: 48', 'side: 48', "measured.Scenes: 'side' is unknown; known are size"),
        ('type: LSC', 'type: LCS', "measured.Scenes.measures: 'LCS' is unknown; known are LSC"),
        ('window: 3', 'windows: 3', "measured.Scenes.measures: LSC.* argument 'windows'"),
        ('window: 3', 'window: 4', 'measured.Scenes.measures: LSC: window'),
        ('epochs: 2', 'epochs: 0', 'measured.Streets.measures: LinearSegmentation: .*epochs must be positive'),
        ('Streets: mIoU linear', 'Roads: mIoU linear', "columns: 'Roads: mIoU linear' is unknown"),
        (
            '{type: LSC, images: 3, window: 3}',
            '{type: LSC, images: 3, window: 3}, 3',
            'measured.Scenes.measures must be a mapping',
        ),
        ('image_intervals: true', 'image_intervals: 3', 'image_intervals must be true or false, got 3'),
    ],
)
def test_a_mistake_in_the_measured_data_is_one_line_that_says_where(streets, old, new, line):
    with pytest.raises(ValueError, match=line) as raised:
        read_table(write(streets, (old, new)))
    assert '\n' not in str(raised.value)
