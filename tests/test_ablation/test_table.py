import re

import pytest

from mmdecouple.ablation import read_table, table_names
from mmdecouple.ablation.plan import check_batch, plan_runs
from mmdecouple.ablation.resolve import resolve
from mmdecouple.utils.configs import configs_folder, load_config

from .tables import write_table


def test_overrides_come_from_table_setting_group_and_row_and_the_later_wins(tmp_path):
    table = read_table(
        write_table(
            tmp_path,
            ('seeds: [0, 1]', 'seeds: [0, 1]\ndemo: {train_cfg.max_epochs: 5, optim_wrapper.optimizer.lr: 0.5}'),
            ('base: {published', 'base: {demo: {train_cfg.max_epochs: 3}, published'),
        )
    )
    base, other = table.row('DenseCL/base'), table.row('DenseCL/D')
    assert resolve(base, 'long', 'demo').train_cfg.max_epochs == 3
    assert resolve(other, 'long', 'demo').train_cfg.max_epochs == 9
    assert resolve(other, 'plain', 'demo').train_cfg.max_epochs == 5
    assert resolve(other, 'long', 'full').train_cfg.max_epochs == 20
    assert resolve(other, 'long', 'demo').optim_wrapper.optimizer.lr == 0.5
    assert resolve(base, 'plain', 'demo').train_dataloader.dataset.num_images == 128


def test_a_resolved_row_is_its_base_but_for_the_overrides(tmp_path):
    row = read_table(write_table(tmp_path)).row('DenseCL/D')
    config, base = resolve(row, 'plain', 'full'), load_config(str(configs_folder() / row.bases['full']))
    assert config.model.decoupling.mask == dict(type='Cutout', cut_ratio=[0.3, 0.5])
    assert base.model.decoupling.mask.type == 'RegionCollaborativeCutout'
    config.model.decoupling.mask = base.model.decoupling.mask
    assert config.to_dict() == base.to_dict()
    listed = resolve(read_table(write_table(tmp_path)).row('iBOT/other'), 'plain', 'demo').param_scheduler
    assert [one.get('warmup') for one in listed] == [2]


@pytest.mark.parametrize(
    'old, new, line',
    [
        ('title: A small table', 'titel: A small table', "the table: 'titel' is unknown; known are title"),
        ('source: nobody', '', 'source is missing'),
        ('[OKNN, CR inter]', '[OKNN, CR outer]', "columns: 'CR outer' is unknown; known are CR inter"),
        ('seeds: [0, 1]', 'seeds: 3', 'seeds must be a list, got 3'),
        ('[OKNN, CR inter]', 'OKNN', "columns must be a list, got 'OKNN'"),
        ('settings: [plain]', 'settings: 3', r'untrained.settings must be a list, got 3'),
        (
            '{iBOT/teacher: model.teacher.checkpoint}',
            '{iBOT/teacher: 3}',
            'after.iBOT/teacher must be a config key, got 3',
        ),
        ('seeds: [0, 1]', 'contrasts: [[D, Base]]', "contrasts: 'Base' is unknown; known are base"),
        ('seeds: [0, 1]', 'contrasts: [D, base]', "contrasts must be a list, got 'D'"),
        ('seeds: [0, 1]', 'contrasts: [[D, D]]', 'contrasts: each must be two rows'),
        ('seeds: [0, 1]', 'seeds: [1, 1]', r'seeds must be different whole numbers >= 0, got \[1, 1\]'),
        ('CR inter: 1.1', 'CR intra: 1.1', "published: 'CR intra' is unknown"),
        ('OKNN: 74.5', 'OKNN: high', "published.OKNN must be a number, got 'high'"),
        ('full: densecl/densecl_r50', 'full: densecl/densecl_r51', r"base.full: '.*r51.*' is unknown; known are .*r50"),
        ('{full: densecl/densecl_r50', '{fall: densecl/densecl_r50', "base: 'fall' is unknown; known are full"),
        ('reference: teacher', 'reference: pupil', "iBOT.reference: 'pupil' is unknown"),
        ('iBOT/teacher:', 'iBOT/pupil:', "taught.after: 'iBOT/pupil' is unknown; known are iBOT/other"),
        ('iBOT/teacher:', 'DenseCL/untrained:', 'DenseCL/untrained is not trained and has no checkpoint'),
        ('teacher: {}', 'teacher: {after: {MaskAlign/taught: model.backbone.weights}}', 'rows depend on each other'),
        ('teacher: {}', 'teacher: {settings: [plain]}', "after.iBOT/teacher: settings: 'long' is unknown"),
        ('settings: [plain]', 'settings: [plane]', "untrained.settings: 'plane' is unknown; known are plain"),
        ('teacher: {}', 'teacher: {}\n      teacher: {}', "not valid YAML: .*'teacher' occurs twice"),
        ('teacher: {}', '0.5: {}', 'iBOT.rows must be a mapping with strings as keys'),
        ('seeds: [0, 1]', 'seeds: [0, 1', 'not valid YAML'),
    ],
)
def test_a_mistake_in_a_table_is_one_line_that_says_where(tmp_path, old, new, line):
    with pytest.raises(ValueError, match=line) as raised:
        read_table(write_table(tmp_path, (old, new)))
    assert '\n' not in str(raised.value) and 'small.yml' in str(raised.value)


@pytest.mark.parametrize(
    'path, value, line',
    [
        ('model.decopling.loss_weight', 0.1, 'has no model.decopling; close names: decoupling'),
        ('model.decoupling.lossweight', 0.1, 'has no model.decoupling.lossweight; close names: loss_weight'),
        (
            'model.decoupling.mask',
            {'cut_ration': 1},
            'RegionCollaborativeCutout takes no cut_ration; close names: cut_ratio',
        ),
        ('model.decoupling.mask', {'_delete_': True, 'type': 'Cutout', 'area': 3}, 'Cutout takes no area'),
        ('model.decoupling.mask', {'_delete_': True, 'type': 'Cutot'}, "The type 'Cutot' is not registered"),
        ('param_scheduler.7.end', 3, 'param_scheduler is a list of 2 in demo'),
        ('param_scheduler.end', 3, "use a position below 2 instead of 'end'"),
        ('train_cfg.max_epochs.x', 3, 'train_cfg.max_epochs is 8 in .* and has no keys below it'),
        ('train_dataloader.dataset.scenes.kappa', 0, 'has no train_dataloader.dataset.scenes.kappa'),
    ],
)
def test_an_override_that_no_config_takes_is_one_line_with_what_is_close(tmp_path, path, value, line):
    row = read_table(write_table(tmp_path)).row('DenseCL/D')
    with pytest.raises(ValueError, match=line) as raised:
        resolve(row, 'plain', 'demo', {path: value})
    assert '\n' not in str(raised.value)


def test_an_override_may_name_what_only_the_class_knows(tmp_path):
    row = read_table(write_table(tmp_path)).row('DenseCL/base')
    assert 'measured' not in resolve(row, 'plain', 'demo').model
    assert resolve(row, 'plain', 'demo', {'model.measured': 'student'}).model.measured == 'student'
    assert 'end_factor' not in resolve(row, 'plain', 'demo').param_scheduler[0]
    assert resolve(row, 'plain', 'demo', {'param_scheduler.0.end_factor': 0.5}).param_scheduler[0].end_factor == 0.5


def test_runs_stand_behind_those_they_need_and_seeds_are_outermost(tmp_path):
    table = read_table(write_table(tmp_path))
    runs = plan_runs(table, 'demo', tmp_path)
    names = [run.name for run in runs]
    assert names[:6] == [
        'DenseCL/base, plain, seed 0',
        'DenseCL/D, plain, seed 0',
        'DenseCL/untrained, plain, seed 0',
        'iBOT/teacher, plain, seed 0',
        'MaskAlign/taught, plain, seed 0',
        'iBOT/other, plain, seed 0',
    ]
    assert len(names) == len(set(names)) == 22
    assert [run.seed for run in runs] == [0] * 11 + [1] * 11
    by_key = {run.key: run for run in runs}
    for run in runs:
        if run.row.label == 'MaskAlign/taught':
            teacher = by_key[run.needs[0]]
            assert (teacher.row.label, teacher.seed, teacher.setting) == ('iBOT/teacher', run.seed, run.setting)
            assert run.config.model.teacher.checkpoint == str(teacher.weights)
    only = plan_runs(table, 'demo', tmp_path, rows=['MaskAlign'], seeds=[5])
    assert [run.row.label for run in only] == ['iBOT/teacher', 'MaskAlign/taught'] * 2
    only = plan_runs(table, 'demo', tmp_path, rows=['DenseCL'], settings=['plain'], seeds=[5])
    assert [run.name for run in only] == [
        'DenseCL/base, plain, seed 5',
        'DenseCL/D, plain, seed 5',
        'DenseCL/untrained, plain, seed 5',
    ]


def test_a_run_is_known_by_what_decides_its_training_wherever_it_lies(tmp_path):
    def keys(*changes, folder='a', **more):
        return {
            run.name: run.key
            for run in plan_runs(
                read_table(write_table(tmp_path, *changes)), 'demo', tmp_path / folder, seeds=[0], **more
            )
        }

    known = keys()
    assert keys(folder='b') == known and keys(('A small table', 'B'), ('OKNN: 74.5', 'OKNN: 1')) == known
    assert keys(options={'test_dataloader.dataset.bank.num_images': 7}) == known
    changed = keys(('teacher: {}', 'teacher: {demo: {optim_wrapper.optimizer.lr: 0.5}}'))
    differing = {name.split(',')[0] for name in known if known[name] != changed[name]}
    assert differing == {'iBOT/teacher', 'MaskAlign/taught'}
    assert not set(known.values()) & set(keys(options={'optim_wrapper.optimizer.lr': 0.5}).values())


def test_a_total_batch_that_a_learning_rate_is_not_for_is_refused(tmp_path):
    table = read_table(write_table(tmp_path))
    runs = plan_runs(table, 'full', tmp_path, rows=['DenseCL/base'], seeds=[0])
    check_batch(runs, 8)
    with pytest.raises(ValueError, match='DenseCL/base: 1 x 32 images per step, but its learning rate is for 256; set'):
        check_batch(runs, 1)
    check_batch(
        plan_runs(
            table, 'full', tmp_path, rows=['DenseCL/base'], seeds=[0], options={'train_dataloader.batch_size': 256}
        ),
        1,
    )
    small = plan_runs(table, 'demo', tmp_path, rows=['DenseCL/base'], seeds=[0])
    check_batch(small, 1)
    with pytest.raises(ValueError, match=r'DenseCL/base: 2 x \d+ images per step, but its learning rate is for'):
        check_batch(small, 2)


def test_a_scale_pattern_or_setting_that_fits_nothing_is_said(tmp_path):
    table = read_table(write_table(tmp_path))
    with pytest.raises(ValueError, match='--rows: Cutou matches no row of small; choose from DenseCL/base, '):
        plan_runs(table, 'full', tmp_path, rows=['Cutou'])
    with pytest.raises(ValueError, match='--settings: small has no plane; choose from plain, long'):
        plan_runs(table, 'demo', tmp_path, settings=['plane'])
    with pytest.raises(ValueError, match='--rows, --settings: no row of DenseCL/untrained runs in long'):
        plan_runs(table, 'demo', tmp_path, rows=['DenseCL/untrained'], settings=['long'])
    with pytest.raises(ValueError, match='Table evidence has no base for the scale full; choose from demo'):
        plan_runs(read_table('evidence'), 'full', tmp_path)
    with pytest.raises(FileNotFoundError, match=f'The table grip does not exist; choose from .*{re.escape("grid")}'):
        read_table('grip')


@pytest.mark.parametrize('name', table_names())
def test_every_shipped_table_fits_its_configs(name, tmp_path):
    table = read_table(name)
    for scale in sorted({scale for row in table.rows for scale in row.bases}):
        runs = plan_runs(table, scale, tmp_path, seeds=[0])
        assert len({run.key for run in runs}) == len(runs)
