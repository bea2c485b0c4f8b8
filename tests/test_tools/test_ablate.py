import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.test_ablation.tables import write_table

from .conftest import CHECKOUT_TOOLS, ROOT

SHORT = {
    'default_hooks.checkpoint.interval': 1,
    'train_dataloader.batch_size': 8,
    'train_dataloader.dataset.num_images': 64,
    'train_cfg.max_epochs': 3,
    'test_dataloader.dataset.objects.num_images': 24,
    'test_dataloader.dataset.bank.num_images': 32,
    'test_dataloader.dataset.singles.num_images': 24,
    'test_dataloader.dataset.measures': [{'type': 'OKNN'}, {'type': 'ContextShift', 'objects': 16}],
}
TOY = dict(
    title='A toy table',
    source='nobody',
    columns=['OKNN', 'OKNN-D', 'context shift'],
    demo=SHORT,
    groups=dict(
        iBOT=dict(
            base=dict(demo='demo/ibot_vit-demo_scenes.py'),
            rows=dict(base=dict(published={'OKNN': 69.9}), untrained=dict(untrained=True)),
        ),
        MaskAlign=dict(
            base=dict(demo='demo/maskalign_vit-demo_scenes.py'),
            rows=dict(taught=dict(after={'iBOT/base': 'model.teacher.checkpoint'})),
        ),
    ),
)


def ablate(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(CHECKOUT_TOOLS / 'ablate.py'), *map(str, arguments), '--threads', '1'],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '-1', 'COLUMNS': '160', 'OMP_NUM_THREADS': '1'},
    )


def finished(*arguments: object) -> str:
    process = ablate(*arguments)
    text = process.communicate(timeout=900)[0]
    assert process.returncode == 0, text
    return text


def rows_of(out: Path) -> dict[str, dict]:
    lines = (out / 'toy' / 'demo' / 'rows.jsonl').read_text().splitlines()
    return {f'{row["group"]}/{row["row"]}': row for row in map(json.loads, lines)}


def kill_in_training(process: subprocess.Popen, out: Path) -> None:
    """End the tool and its children at once, behind the first checkpoint of a training."""
    deadline = time.monotonic() + 400
    while not list(out.glob('runs/ibot_vit*/epoch_1.pth')):
        assert time.monotonic() < deadline and process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    children = subprocess.run(['pgrep', '-P', str(process.pid)], capture_output=True, text=True).stdout.split()
    process.kill()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_killed_table_goes_on_and_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    table = tmp_path / 'toy.yml'
    table.write_text(yaml.safe_dump(TOY, sort_keys=False))
    out, whole = tmp_path / 'out', tmp_path / 'whole'
    process = ablate(table, '--out', out, '--jobs', 2)
    kill_in_training(process, out)
    assert not list(out.glob('runs/ibot_vit-demo_scenes-[!u]*/final.pth'))

    text = finished(table, '--out', out, '--jobs', 2)
    (log,) = out.glob('runs/ibot_vit-demo_scenes-[!u]*/train.log')
    assert 'resumed epoch' in log.read_text()
    assert text.index('training iBOT/base, seed 0: done') < text.index('training MaskAlign/taught, seed 0: started')
    assert '69.9' in text and '3 of 3 rows' in text
    for file in ('rows.jsonl', 'table.md', 'figure.png'):
        assert (out / 'toy' / 'demo' / file).is_file()
    rows = rows_of(out)
    assert rows['iBOT/base']['iterations'] == 24 and rows['iBOT/base']['images'] == 192
    assert rows['iBOT/untrained']['iterations'] == 0 and rows['iBOT/untrained']['checkpoint_sha256'] is None

    before = {path: path.stat().st_mtime_ns for path in out.glob('runs/**/*.*')}
    assert '0 jobs to do' in finished(table, '--out', out)
    assert before == {path: path.stat().st_mtime_ns for path in out.glob('runs/**/*.*')}

    table.write_text(
        yaml.safe_dump(
            {
                **TOY,
                'demo': {
                    **SHORT,
                    'test_dataloader.dataset.measures': [
                        *SHORT['test_dataloader.dataset.measures'],
                        {'type': 'BackgroundLeak', 'bank': 32, 'queries': 16},
                    ],
                },
            }
        )
    )
    assert '3 jobs to do' in finished(table, '--out', out)
    again = rows_of(out)
    for label, row in rows.items():
        assert again[label]['checkpoint_sha256'] == row['checkpoint_sha256']
        assert again[label]['metrics'].pop('background_leak') and again[label]['metrics'] == row['metrics']

    table.write_text(yaml.safe_dump(TOY, sort_keys=False))
    finished(table, '--out', whole)
    assert {label: row['metrics'] for label, row in rows_of(whole).items()} == {
        label: row['metrics'] for label, row in rows.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_row_that_fails_leaves_the_others_and_says_why(tmp_path: Path) -> None:
    broken = {**TOY['groups']['iBOT']['rows'], 'broken': {'demo': {'model.mim_share': 7.0}}}
    table = tmp_path / 'toy.yml'
    table.write_text(yaml.safe_dump({**TOY, 'groups': {'iBOT': {**TOY['groups']['iBOT'], 'rows': broken}}}))
    process = ablate(table, '--out', tmp_path, '--jobs', 2)
    text = process.communicate(timeout=800)[0]
    assert process.returncode == 1
    assert 'ablate: toy training iBOT/broken, seed 0 failed with exit code 1' in text and 'mim_share' in text
    assert set(rows_of(tmp_path)) == {'iBOT/base', 'iBOT/untrained'}


@pytest.mark.slow
def test_a_mistake_ends_in_one_line_before_anything_is_made(tmp_path: Path) -> None:
    table = write_table(tmp_path, ('model.decoupling.mask:', 'model.decouplin.mask:'))
    process = ablate(table, '--out', tmp_path / 'out')
    text = process.communicate(timeout=200)[0]
    assert process.returncode == 1 and len(text.splitlines()) == 1
    assert text.startswith('mmdecouple: error: DenseCL/D: model.decouplin.mask: demo/densecl-d_resnet-demo_scenes.py')
    assert not (tmp_path / 'out').exists()
