"""Rows that several machines publish into one folder: nothing of another machine is lost or mixed up."""

import json
from threading import Thread

import pytest

from mmdecouple.ablation import read_table
from mmdecouple.ablation.fill import Filling
from mmdecouple.ablation.finalize import figures_folder
from mmdecouple.ablation.publish import with_published
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.locks import alone

from .tables import write_table
from .test_runs import measure, train

DEFAULT = 'demo: {train_dataloader.dataset.num_images: 128}'


@pytest.fixture
def machine(tmp_path):
    """A machine of its own: `rows` are trained to a weight and measured, then published into the common folder."""

    def publish(name, rows, *changes, seed=0):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        filling = Filling(read_table(write_table(folder, *changes)), 'demo', folder / 'out', {})
        runs = {run.name: run for run in filling.plan([seed], (), ['plain'], tmp_path / 'common')}
        for row, weight in rows.items():
            run = runs[f'{row}, plain, seed {seed}']
            train(run, weight)
            measure(run)
        return runs, lambda: filling.write(tmp_path / 'common')[0]

    return publish


def names(rows):
    return [(f'{row["group"]}/{row["row"]}', row['seed']) for row in rows]


def test_a_folder_collects_the_rows_of_all_machines(machine, tmp_path):
    first = machine('first', {'DenseCL/base': 1.0}, seed=7)[1]()
    second = machine('second', {'DenseCL/D': 2.0, 'iBOT/other': 3.0})[1]()
    assert names(first) == [('DenseCL/base', 7)]
    assert names(second) == [('DenseCL/D', 0), ('iBOT/other', 0), ('DenseCL/base', 7)] and second[2] == first[0]
    file = tmp_path / 'common' / 'small' / 'demo' / 'rows.jsonl'
    assert [json.loads(line) for line in file.read_text().splitlines()] == second
    # What the machine itself holds stays its own.
    assert not (tmp_path / 'second' / 'out' / 'small').exists()


def test_rows_that_another_machine_publishes_at_the_same_moment_are_kept(machine, tmp_path):
    file = tmp_path / 'common' / 'small' / 'demo' / 'rows.jsonl'
    machine('first', {'DenseCL/base': 1.0})[1]()
    line = file.read_text()
    file.unlink()
    publication = Thread(target=machine('second', {'DenseCL/D': 2.0})[1])
    with alone(file.with_suffix('.lock'), 'busy'):
        publication.start()
        publication.join(1)
        assert publication.is_alive() and not file.exists()
        file.write_text(line)
    publication.join()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert names(rows) == [('DenseCL/base', 0), ('DenseCL/D', 0)]


def test_a_row_is_replaced_only_by_one_with_all_of_its_metrics(machine):
    measures = 'demo: {test_dataloader.dataset.measures: [{type: OKNN}, {type: LSC}]}'
    former = machine('first', {'DenseCL/base': 1.0}, (DEFAULT, measures))[1]()
    runs, publish = machine('second', {'DenseCL/base': 2.0}, (DEFAULT, measures))
    late = runs['DenseCL/base, plain, seed 0'].pieces[1].file(figures_folder(runs['DenseCL/base, plain, seed 0']))
    content = late.read_bytes()
    late.unlink()
    assert publish() == former
    late.write_bytes(content)
    (row,) = publish()
    assert row['checkpoint_sha256'] != former[0]['checkpoint_sha256'] and row['metrics'] == former[0]['metrics']


@pytest.mark.parametrize(
    'change',
    [
        'demo: {train_dataloader.dataset.num_images: 64}',
        'demo: {train_dataloader.dataset.num_images: 128, test_dataloader.dataset.measures: [{type: LSC}]}',
    ],
)
def test_rows_of_another_config_or_measure_are_refused_and_left_alone(machine, tmp_path, change):
    machine('first', {'DenseCL/base': 1.0})[1]()
    file = tmp_path / 'common' / 'small' / 'demo' / 'rows.jsonl'
    before = file.read_bytes()
    with pytest.raises(UserError, match='1 of 1 rows have another config .* DenseCL/base, plain, seed 0. Remove'):
        machine('second', {'DenseCL/D': 2.0}, (DEFAULT, change))[1]()
    assert file.read_bytes() == before


def test_a_damaged_file_is_named_with_its_line(machine, tmp_path):
    machine('first', {'DenseCL/base': 1.0})[1]()
    file = tmp_path / 'common' / 'small' / 'demo' / 'rows.jsonl'
    file.write_text(file.read_text() + '{"group": "DenseCL"}\n')
    with pytest.raises(UserError, match='rows.jsonl: line 2 is not a row of a table; restore'):
        machine('second', {'DenseCL/D': 2.0})


def test_a_row_that_occurs_twice_is_refused(machine, tmp_path):
    machine('first', {'DenseCL/base': 1.0})[1]()
    file = tmp_path / 'common' / 'small' / 'demo' / 'rows.jsonl'
    file.write_text(twice := 2 * file.read_text())
    with pytest.raises(UserError, match='rows.jsonl: 1 rows occur more than once; remove'):
        machine('second', {'DenseCL/D': 2.0})[1]()
    assert file.read_text() == twice


def test_differences_over_images_stay_while_both_rows_are_those_that_were_compared(machine, tmp_path):
    runs, publish = machine('first', {'DenseCL/base': 1.0, 'DenseCL/D': 2.0})
    base, other = publish()
    other['differences'] = {'base': {'OKNN': [0.1, 0.0, 0.2]}}
    path = tmp_path / 'rows.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in (base, other)))

    def differences(*rows):
        return with_published(rows, path, list(runs.values()))[1]['differences']

    assert differences() == differences(base) == other['differences']
    assert differences({**base, 'checkpoint_sha256': 'another'}) == {}
    mine = {**other, 'differences': {'base': {'OKNN': [0.3, 0.2, 0.4]}}}
    assert differences(mine) == other['differences'], 'the row it was compared with is not here'
    assert differences(base, mine) == mine['differences']
