"""Comparison of networks: from run folders, checkpoints and published networks to a report."""

import json
import os
import shutil
from io import StringIO
from pathlib import Path

import pytest
import torch
from mmengine.runner import set_random_seed
from rich.console import Console

from mmdecouple.commands import compare as command
from mmdecouple.networks.network import untrained_spec
from mmdecouple.registry import MODELS
from mmdecouple.runs.contents import read_run
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import UserError
from mmdecouple.visualization import comparison
from mmdecouple.visualization.comparison import compare, is_measured, made_from, measured_runs
from mmdecouple.visualization.coupling import Draws, measure_one
from tests.test_visualization.synthetic import coupling, write_run
from tests.test_visualization.tiny import CONFIG

QUICK = ('--measures', 'ContextShift', '--limit', '2', '--device', 'cpu')


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> Path:
    """A checkpoint that fits the tiny config."""
    folder = tmp_path_factory.mktemp('weights')
    (folder / 'tiny.py').write_text(CONFIG)
    set_random_seed(1)
    model = MODELS.build(load_config(str(folder / 'tiny.py')).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'epoch_1.pth')
    return folder / 'epoch_1.pth'


@pytest.fixture
def folders(tmp_path: Path, weights: Path) -> list[Path]:
    """Two run folders, which were not measured."""
    made = []
    for place, name in enumerate(('first', 'second')):
        made.append(write_run(tmp_path / name, None, place == 1, place, CONFIG))
        shutil.copy(weights, made[-1])
    return made


def write_figures(folder: Path, measured: dict, name: str = 'coupling.json') -> None:
    """Writes the measured values of a run folder."""
    checkpoint, config = read_run(folder)
    source = made_from(config, None if name == 'untrained.json' else checkpoint)
    (folder / name).write_text(json.dumps({**measured, 'made_from': source}))


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Leaves out the figures that need networks."""
    monkeypatch.setattr(comparison, 'model_pictures', lambda *_: ([], ['all: left out']))


def test_measured_run_folders_give_a_report_after_the_untrained_network(folders: list[Path], tmp_path: Path) -> None:
    for folder, name, level in (
        (folders[0], 'coupling.json', 0.9),
        (folders[1], 'coupling.json', 0.4),
        (folders[0], 'untrained.json', 0.5),
    ):
        write_figures(folder, coupling(level), name)
    text = StringIO()
    runs = measured_runs(dict(zip(('DenseCL', 'DenseCL-D'), folders)))
    report = compare(runs, tmp_path / 'out', console=Console(file=text, width=150))
    for name in ('Untrained', 'DenseCL', 'DenseCL-D'):
        assert name in report.read_text() and name in text.getvalue()
    assert str(report) in text.getvalue() and 'Left out' not in text.getvalue()
    for png in ('losses', 'metrics', 'decoupled_batch', 'affinity'):
        assert (report.parent / f'{png}.png').is_file()


def test_measured_values_of_other_weights_another_config_or_layer_do_not_count(folders: list[Path]) -> None:
    folder, figures = folders[0], folders[0] / 'coupling.json'
    weights, config = folder / 'epoch_1.pth', folder / 'toy_config.py'

    def measured() -> bool:
        checkpoint, read = read_run(folder)
        return is_measured(figures, read, checkpoint)

    assert not measured()
    write_figures(folder, coupling(0.9))
    os.utime(weights, (2e9, 2e9))
    assert measured(), 'it is the content that counts, not the time'
    content = torch.load(weights, weights_only=True)
    content['state_dict'] = {key: value + 1 for key, value in content['state_dict'].items()}
    torch.save(content, weights)
    os.utime(weights, (1e9, 1e9))
    assert not measured()
    write_figures(folder, coupling(0.9))
    config.write_text(config.read_text().replace('num_images=12', 'num_images=13'))
    os.utime(config, (1e9, 1e9))
    assert not measured()
    write_figures(folder, coupling(0.9))
    assert measured()
    for unusual in (dict(layer='9'), dict(measured='student')):
        figures.write_text(json.dumps({**json.loads(figures.read_text()), **unusual}))
        assert not measured()
        write_figures(folder, coupling(0.9))


@pytest.mark.usefixtures('no_pictures')
def test_any_networks_are_measured_on_shared_draws_and_only_once(folders: list[Path], tmp_path: Path, capsys) -> None:
    shutil.rmtree(folders[1] / '20260101_000000')
    words = [*map(str, folders), 'timm:test_vit2', '--names', 'a', 'b', 'vit', '--untrained', *QUICK]
    words += ['--out', str(tmp_path / 'out')]
    command.main(words)
    said = capsys.readouterr().out
    assert 'Left out of the report: all: left out' in said and 'second: no loss in' in said
    reports = {
        name: json.loads((tmp_path / 'out' / f'{name}.json').read_text()) for name in ('Untrained', *'ab', 'vit')
    }
    assert len({report['manifest_sha256'] for report in reports.values()}) == 1
    assert {report['cell'] for report in reports.values()} == {16}, "the largest of the networks' cells"
    assert reports['a']['metrics'] == reports['b']['metrics'] != reports['Untrained']['metrics']
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert all(name in page for name in reports) and 'losses' in page
    command.main(words)
    assert capsys.readouterr().out.count('already measured on these draws, reused') == 4


@pytest.mark.usefixtures('no_pictures')
def test_what_a_run_folder_holds_is_reused(folders: list[Path], tmp_path: Path, capsys) -> None:
    path = folders[0] / 'coupling.json'
    report = measure_one(str(folders[0]), path, Draws(measures=['ContextShift'], limit=2))
    command.main([*map(str, folders), *QUICK, '--out', str(tmp_path / 'out')])
    said = capsys.readouterr().out.replace('\n', '')
    assert f'first: already measured on these draws, reused: {path}' in said and '"second: probes"' in said
    assert json.loads((tmp_path / 'out' / 'first.json').read_text())['metrics'] == report['metrics']


@pytest.mark.parametrize(
    'spec, untrained',
    [
        ('timm:vit=a=b.pth', 'timm:vit'),
        ('a/b.py=c/d.pth', 'a/b.py'),
        ('a/b.pth', 'untrained:a/b.pth'),
        ('timm:vit', None),
        ('a.py', None),
        ('untrained:run', None),
    ],
)
def test_the_untrained_network_of_a_specification(spec: str, untrained: str | None) -> None:
    if untrained is None:
        with pytest.raises(UserError, match='has random weights already; omit --untrained'):
            untrained_spec(spec)
    else:
        assert untrained_spec(spec) == untrained


def break_config(folder: Path) -> None:
    (folder / 'toy_config.py').unlink()


def break_checkpoint(folder: Path) -> None:
    (folder / 'epoch_1.pth').write_bytes((folder / 'epoch_1.pth').read_bytes()[:1000])


def break_figures(folder: Path) -> None:
    (folder / 'coupling.json').write_text('{"format": "other/1"}')


@pytest.mark.parametrize(
    'damage, line',
    [
        (shutil.rmtree, 'second: no such file or folder'),
        (break_config, 'second: no config in this run folder'),
        (break_checkpoint, 'second: no readable checkpoint (*.pth) in this run folder'),
        (break_figures, "format is 'other/1', expected 'mmdecouple-coupling/1'"),
    ],
)
def test_bad_input_ends_in_one_line_that_names_the_culprit(
    damage, line: str, folders: list[Path], tmp_path: Path, capsys
) -> None:
    damage(folders[1])
    with pytest.raises(SystemExit) as end:
        command.main([*map(str, folders), *QUICK, '--out', str(tmp_path / 'out')])
    error = capsys.readouterr().err.strip()
    assert end.value.code == 1 and line in error and error.count('\n') == 0, error


def test_runs_of_different_draws_are_not_compared(folders: list[Path], tmp_path: Path) -> None:
    for folder, manifest in zip(folders, 'ab'):
        write_figures(folder, coupling(0.5, manifest * 64))
    write_figures(folders[0], coupling(0.5), 'untrained.json')
    with pytest.raises(UserError, match='Untrained and second were measured on different draws'):
        compare(measured_runs(dict(first=folders[0], second=folders[1])), tmp_path / 'out')


def test_names_must_be_as_many_as_networks_and_differ(folders: list[Path], tmp_path: Path, capsys) -> None:
    for names, line in ((['a'], '1 names for 2 networks'), (['a', 'a'], 'Two networks are called a')):
        with pytest.raises(SystemExit):
            command.main([*map(str, folders), '--names', *names, '--out', str(tmp_path / 'out')])
        assert line in capsys.readouterr().err
