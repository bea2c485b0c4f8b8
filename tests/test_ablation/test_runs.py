"""What is kept of a run, and what is still to do: on runs that are made by hand, nothing is trained."""

import json

import pytest
import torch

from mmdecouple.ablation import execute, read_table
from mmdecouple.ablation.execute import jobs_of
from mmdecouple.ablation.finalize import figures_folder, finish, read_note
from mmdecouple.ablation.pieces import Piece
from mmdecouple.ablation.plan import plan_runs
from mmdecouple.ablation.rows import raw_rows, read_seeds, write_rows

from .tables import write_table


def planned(tmp_path, *changes):
    table = read_table(write_table(tmp_path, *changes))
    return table, {run.name: run for run in plan_runs(table, 'demo', tmp_path / 'out', seeds=[0], settings=['plain'])}


def train(run, weight):
    """What a training to its end leaves, and what `finish` makes of it."""
    run.folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        dict(meta=dict(iter=7, epoch=1), state_dict=dict(weight=torch.tensor(weight)), optimizer={}),
        run.folder / 'epoch_1.pth',
    )
    (run.folder / 'last_checkpoint').write_text('epoch_1.pth')
    finish(run)


def measure(run, **metrics):
    """Figures of every measure of a run."""
    for place, path in enumerate(piece.file(figures_folder(run)) for piece in run.pieces):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict(manifest_sha256='m', metrics={f'metric_{place}': dict(value=1.0), **metrics})))


def names(runs):
    return [job.name for job in jobs_of(list(runs))]


def test_a_training_done_anew_is_measured_anew(tmp_path):
    _, runs = planned(tmp_path)
    base = runs['DenseCL/base, plain, seed 0']
    todo = ['training DenseCL/base, plain, seed 0', 'measuring DenseCL/base, plain, seed 0']
    assert names([base]) == todo
    train(base, 1.0)
    measure(base)
    first = read_note(base)['checkpoint_sha256']
    assert names([base]) == [] and [path.name for path in base.folder.glob('*.pth')] == ['final.pth']

    (base.folder / 'run.json').unlink()
    assert names([base]) == todo
    train(base, 2.0)
    assert read_note(base)['checkpoint_sha256'] != first
    assert names([base]) == todo[1:]


def test_a_network_that_starts_from_another_runs_weights_is_measured_behind_that_run(tmp_path):
    _, runs = planned(
        tmp_path,
        (
            '      taught:',
            '      start:\n        untrained: true\n'
            '        after: {iBOT/teacher: model.teacher.checkpoint}\n      taught:',
        ),
    )
    teacher, start = runs['iBOT/teacher, plain, seed 0'], runs['MaskAlign/start, plain, seed 0']
    jobs = {job.name: job for job in jobs_of([teacher, start])}
    assert list(jobs['measuring MaskAlign/start, plain, seed 0'].after) == ['training iBOT/teacher, plain, seed 0']
    train(teacher, 1.0)
    assert names([start]) == ['measuring MaskAlign/start, plain, seed 0']


def test_a_row_that_refines_another_rows_network_waits_for_it_and_follows_its_changes(tmp_path):
    rows = (
        '  iBOT:\n',
        '  UniRefiner:\n    base: {demo: demo/unirefiner_vit-demo_scenes.py}\n    rows:\n'
        '      base: {after: {iBOT/teacher: model.backbone.weights}}\n  iBOT:\n',
    )
    _, runs = planned(tmp_path, rows)
    teacher, refined = runs['iBOT/teacher, plain, seed 0'], runs['UniRefiner/base, plain, seed 0']
    assert list(runs).index(teacher.name) < list(runs).index(refined.name)
    assert refined.config.model.backbone.weights == str(teacher.weights) and refined.needs == (teacher.key,)
    training = [job for job in jobs_of(list(runs.values())) if job.name == f'training {refined.name}']
    assert [list(job.after) for job in training] == [[f'training {teacher.name}']]
    train(teacher, 1.0)
    assert f'training {teacher.name}' not in names(runs.values()) and f'training {refined.name}' in names(runs.values())
    # Another teacher is another start.
    _, others = planned(tmp_path, rows, ('teacher: {}', 'teacher: {demo: {param_scheduler.0.warmup: 2}}'))
    assert others[refined.name].key != refined.key


def test_figures_are_kept_by_all_settings_of_a_measure_also_those_left_out():
    def stem(measure, **images):
        return Piece('', images, measure).stem

    assert stem(dict(type='OKNN')) == stem(dict(type='OKNN', k=20, temperature=0.07))
    assert len({stem(dict(type='OKNN', k=k)) for k in (19, 20, 21)}) == 3
    assert stem(dict(type='OKNN'), size=48) != stem(dict(type='OKNN'), size=64)
    # Values of earlier versions are found again.
    assert stem(dict(type='OKNN'), type='ProbeDataset', size=48) == 'OKNN-5d2dff371fa1'


def test_two_measures_of_one_type_both_stand_in_the_row(tmp_path):
    inter = '{type: InterCouplingRatio, pairs: 9}, {type: InterCouplingRatio, pairs: 9, removal: token}'
    table, runs = planned(
        tmp_path,
        ('demo: {train_dataloader.dataset.num_images: 128}', f'demo: {{test_dataloader.dataset.measures: [{inter}]}}'),
    )
    base = runs['DenseCL/base, plain, seed 0']
    train(base, 1.0)
    measure(base, shared=dict(value=2.0))
    (row,) = raw_rows(table, 'demo', list(runs.values()))
    assert set(row['metrics']) == {'metric_0', 'metric_1', 'shared'}
    assert row['manifests'] == {'metric_0': 'm', 'metric_1': 'm'} and (row['iterations'], row['images']) == (7, 448)


def test_seeds_of_earlier_commands_are_found_again(tmp_path):
    path = tmp_path / 'rows.jsonl'
    assert read_seeds(path) == set()
    keys = ('group', 'row', 'setting', 'config_sha256', 'checkpoint_sha256', 'manifests', 'metrics')
    write_rows(path, [{**dict.fromkeys(keys), 'seed': seed} for seed in (4, 0, 4)])
    assert read_seeds(path) == {0, 4}


def test_a_folder_that_is_not_there_is_made_and_held_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, '_WAIT_SECONDS', 0)
    told = []
    with execute.alone_in(tmp_path / 'new' / 'out', told.append):
        with pytest.raises(ValueError, match='another ablation uses this folder'):
            with execute.alone_in(tmp_path / 'new' / 'out', told.append):
                pass
    with execute.alone_in(tmp_path / 'new' / 'out', told.append) as lock:
        assert not lock.closed
