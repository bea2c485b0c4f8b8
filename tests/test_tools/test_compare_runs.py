import importlib.util
import json
import os
import shutil
from io import StringIO
from pathlib import Path

import pytest
import torch
from mmengine.runner import set_random_seed
from rich.console import Console

from mmdecouple.registry import MODELS
from mmdecouple.runs.contents import read_run
from mmdecouple.utils.configs import load_config
from mmdecouple.visualization import comparison
from mmdecouple.visualization.comparison import compare, figures_file, made_from
from mmdecouple.visualization.coupling import Draws
from tests.test_visualization.synthetic import coupling, write_run
from tests.test_visualization.tiny import CONFIG

from .conftest import CHECKOUT_TOOLS


def load_tool(name: str, folder: str = 'analysis_tools'):
    """Import a tool of this checkout by its path."""
    path = CHECKOUT_TOOLS / folder / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


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
    """Two run folders: the first was measured, the second was not."""
    made = []
    for place, name in enumerate(('first', 'second')):
        made.append(write_run(tmp_path / name, None, place == 1, place, CONFIG))
        shutil.copy(weights, made[-1])
    write_figures(made[0], coupling(0.9))
    return made


def write_figures(folder: Path, measured: dict) -> None:
    """What coupling.py leaves in a run folder."""
    checkpoint, config = read_run(folder)
    source = made_from(config, checkpoint)
    (folder / 'coupling.json').write_text(json.dumps({**measured, 'made_from': source}))


class Measurer:
    """Stands for coupling.py and keeps what it was asked."""

    def __init__(self, manifest: str = 'a' * 64) -> None:
        self.manifest, self.asked = manifest, []

    def __call__(self, network: str, out: Path) -> None:
        path = Path(network.removeprefix('untrained:'))
        trained = network == str(path)
        self.asked.append((path.parent.name, path.name if trained else None, out.name))
        measured = coupling(0.4, self.manifest, seed=len(self.asked))
        source = made_from(read_run(path.parent)[1], path if trained else None)
        out.write_text(json.dumps({**measured, 'made_from': source, 'cell': 16}))


def test_a_report_measures_only_what_was_not_measured(folders: list[Path], tmp_path: Path) -> None:
    measure, text = Measurer(), StringIO()
    settings = dict(untrained=True, console=Console(file=text, width=150))
    report = compare(folders, ['DenseCL', 'DenseCL-D'], tmp_path / 'out', measure, **settings)
    assert measure.asked == [('second', 'epoch_1.pth', 'coupling.json'), ('first', None, 'untrained.json')]
    for name in ('Untrained', 'DenseCL', 'DenseCL-D'):
        assert name in report.read_text() and name in text.getvalue()
    assert str(report) in text.getvalue() and 'Left out' not in text.getvalue()
    for png in ('losses', 'metrics', 'decoupled_batch', 'affinity'):
        assert (report.parent / f'{png}.png').is_file()


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Leave out the figures that need networks."""
    monkeypatch.setattr(comparison, 'model_pictures', lambda *_: ([], ['all: left out']))


@pytest.mark.usefixtures('no_pictures')
def test_a_second_report_measures_nothing(folders: list[Path], tmp_path: Path) -> None:
    measure, text = Measurer(), StringIO()
    for _ in range(2):
        compare(folders, ['a', 'b'], tmp_path / 'out', measure, untrained=True, console=Console(file=text))
    assert len(measure.asked) == 2
    assert 'Left out of the report: all: left out' in text.getvalue()


@pytest.mark.usefixtures('no_pictures')
def test_figures_of_other_weights_another_config_or_other_cells_are_measured_again(
    folders: list[Path], tmp_path: Path
) -> None:
    measure, once = Measurer(), [('first', 'epoch_1.pth', 'coupling.json')]
    weights, config = folders[0] / 'epoch_1.pth', folders[0] / 'toy_config.py'

    def asked(**settings) -> list:
        measure.asked = []
        compare(folders[:1], ['a'], tmp_path / 'out', measure, console=Console(file=StringIO()), **settings)
        return measure.asked

    os.utime(weights, (2e9, 2e9))
    assert asked() == [], 'it is the content that counts, not the time'
    content = torch.load(weights, weights_only=True)
    content['state_dict'] = {key: value + 1 for key, value in content['state_dict'].items()}
    torch.save(content, weights)
    os.utime(weights, (1e9, 1e9))
    assert asked() == once and asked() == []
    config.write_text(config.read_text().replace('num_images=12', 'num_images=13'))
    os.utime(config, (1e9, 1e9))
    assert asked() == once and asked() == []
    assert asked(cell=16) == [] and asked(cell=32) == once
    figures = folders[0] / 'coupling.json'
    for unusual in (dict(layer='9'), dict(measured='student')):
        figures.write_text(json.dumps({**json.loads(figures.read_text()), **unusual}))
        assert asked() == once and asked() == []


def test_figures_of_each_data_set_are_kept_apart(tmp_path: Path) -> None:
    names = {
        figures_file(tmp_path, checkpoint, dataset).name
        for checkpoint in (None, Path('a.pth'))
        for dataset in (None, 'scenes', 'coco:/a/b')
    }
    assert names == {
        'coupling.json',
        'coupling-scenes.json',
        'coupling-coco-a-b.json',
        'untrained.json',
        'untrained-scenes.json',
        'untrained-coco-a-b.json',
    }


def break_config(folder: Path) -> None:
    (folder / 'toy_config.py').unlink()


def break_checkpoint(folder: Path) -> None:
    (folder / 'epoch_1.pth').write_bytes((folder / 'epoch_1.pth').read_bytes()[:1000])


def break_logs(folder: Path) -> None:
    shutil.rmtree(folder / '20260101_000000')


def break_draws(folder: Path) -> None:
    write_figures(folder, coupling(0.5, 'b' * 64, 'coco'))


def break_figures(folder: Path) -> None:
    (folder / 'coupling.json').write_text('{"format": "other/1"}')


@pytest.mark.parametrize(
    'damage, line',
    [
        (shutil.rmtree, 'second: no such run folder'),
        (break_config, 'second: no config in this run folder'),
        (break_checkpoint, 'second: no readable checkpoint (*.pth) in this run folder'),
        (break_logs, 'second: no loss in <timestamp>/vis_data/scalars.json'),
        (break_draws, 'first and second were measured on different draws'),
        (break_figures, "format is 'other/1', expected 'mmdecouple-coupling/1'"),
    ],
)
def test_bad_input_ends_in_one_line_that_names_the_culprit(
    damage, line: str, folders: list[Path], tmp_path: Path, capsys
) -> None:
    damage(folders[1])
    with pytest.raises(SystemExit) as end:
        load_tool('compare_runs').main([*map(str, folders), '--out', str(tmp_path / 'out')])
    error = capsys.readouterr().err.strip()
    assert end.value.code == 1 and line in error and error.count('\n') == 0, error


def test_names_must_be_as_many_as_runs_and_differ(folders: list[Path], tmp_path: Path, capsys) -> None:
    tool, out = load_tool('compare_runs'), ['--out', str(tmp_path / 'out')]
    write_figures(folders[1], coupling(0.4))
    for names, line in ((['a'], '1 names for 2 runs'), (['a', 'a'], "Two runs are called 'a'")):
        with pytest.raises(SystemExit):
            tool.main([*map(str, folders), '--names', *names, *out])
        assert line in capsys.readouterr().err


@pytest.mark.usefixtures('no_pictures')
def test_on_a_named_data_set_all_runs_are_measured_with_the_largest_cell(
    folders: list[Path], tmp_path: Path, monkeypatch
) -> None:
    tool, asked = load_tool('compare_runs'), []
    (folders[1] / 'toy_config.py').write_text(CONFIG.replace('strides=(1, 2, 1)', 'strides=(2, 2, 1)'))
    set_random_seed(1)
    model = MODELS.build(load_config(str(folders[1] / 'toy_config.py')).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folders[1] / 'epoch_1.pth')

    def measure_one(word: str, path: Path, draws: Draws, *_) -> None:
        asked.append(draws)
        path.write_text(json.dumps(coupling(0.4)))

    monkeypatch.setattr(tool, 'measure_one', measure_one)
    tool.main([*map(str, folders), '--dataset', 'scenes', '--out', str(tmp_path / 'out')])
    assert asked == [Draws('scenes', cell=16)] * 2
