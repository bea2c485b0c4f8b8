import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmdecouple.demo.stories import STORIES
from mmdecouple.utils.configs import load_config

from .conftest import CHECKOUT_TOOLS, ROOT

RUNS = ('densecl_resnet-demo_scenes', 'densecl-d_resnet-demo_scenes', 'densecl-control_resnet-demo_scenes')


def demo(out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, str(CHECKOUT_TOOLS / 'demo.py'), '--quick', '--out', str(out), *options]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '-1', 'COLUMNS': '160'},
    )


def test_every_scenes_config_is_told_in_one_story_on_the_same_probes() -> None:
    told = [config for story in STORIES.values() for config in story.runs.values()]
    demos = {path.name for path in (ROOT / 'configs' / 'demo').glob('*_scenes.py')}
    whole_vits = {name for name in demos if '_vit-ti8_' in name}
    assert sorted(told) == sorted(demos - whole_vits)
    assert {name.replace('_vit-ti8_', '_vit-demo_') for name in whole_vits} < set(told)
    assert len({story.report for story in STORIES.values()}) == len(STORIES)
    for story in STORIES.values():
        configs = [load_config(str(ROOT / 'configs' / 'demo' / name)) for name in story.runs.values()]
        before = [load_config(str(ROOT / 'configs' / 'demo' / name)) for name in (story.teacher, story.start) if name]
        assert all(config.test_dataloader == configs[0].test_dataloader for config in configs + before)
        assert all(config.train_dataloader == configs[0].train_dataloader for config in configs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('method, before', [('MaskAlign', 'Teacher'), ('Leopart', 'Start')])
def test_the_demo_trains_a_teacher_or_start_first_and_keeps_its_report_apart(
    tmp_path: Path, method: str, before: str
) -> None:
    text = (process := demo(tmp_path, '--method', method.lower())).communicate(timeout=1200)[0]
    assert process.returncode == 0, text
    assert text.index(f'Training {before}: done') < text.index(f'Training {method}: started')
    page = (tmp_path / method.lower() / 'report.html').read_text()
    for name in ('Untrained', method, f'{method}-D', before):
        assert f'data-run="{name}"' in page
    assert not (tmp_path / 'report.html').exists()
    (untrained,) = tmp_path.glob('*/untrained.json')
    assert untrained.parent.name.startswith('ibot') == (before == 'Start')


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_ends_in_a_report_and_trains_nothing_twice(tmp_path: Path) -> None:
    process = demo(tmp_path)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob('*/*/vis_data/scalars.json')):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=200)[0]
    assert process.returncode == 130 and 'Run the same command to continue.' in text, text

    process = demo(tmp_path)
    text = process.communicate(timeout=900)[0]
    assert process.returncode == 0, text
    page = (tmp_path / 'report.html').read_text()
    for name in ('Untrained', 'DenseCL', 'DenseCL-D', 'Control'):
        assert name in text and f'data-run="{name}"' in page
    measured = [json.loads((tmp_path / run / 'coupling.json').read_text()) for run in RUNS]
    assert len({figures['manifest_sha256'] for figures in measured}) == 1
    for png in ('losses', 'metrics', 'decoupled_batch', 'affinity'):
        assert (tmp_path / f'{png}.png').is_file()

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob('*/*.pth')}
    process = demo(tmp_path)
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and 'Already trained, reused: DenseCL, DenseCL-D, Control' in text, text
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob('*/*.pth')}

    process = demo(tmp_path, '--seed', '1')
    text = process.communicate(timeout=200)[0]
    assert process.returncode != 0 and 'holds a run of another seed, config or checkpoint; add --fresh' in text
