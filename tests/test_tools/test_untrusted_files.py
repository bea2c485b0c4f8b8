"""Nothing that stands in a file runs: every tool that opens weights is tried with every kind of trap."""

import importlib.util
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmdecouple.utils.errors import MAX_LENGTH
from tests.test_visualization.synthetic import write_run
from tests.test_visualization.tiny import CONFIG

from .conftest import CHECKOUT_TOOLS

IMAGES = '{images} --size 32 --device cpu --out {out}'
# What a tool is called with; a new one that opens weights adds its line.
TOOLS = {
    'analysis_tools/affinity.py': f'{{file}} --data {IMAGES}',
    'analysis_tools/lsc.py': f'{{file}} --window 1 --data {IMAGES}',
    'analysis_tools/coupling.py': '{file} --measures ContextShift --limit 2 --device cpu --out {out}',
    'analysis_tools/explore.py': '{file} --data {images} --size 32 --device cpu --out {out}',
    'analysis_tools/compare_runs.py': '{folder} --untrained --measures ContextShift --limit 2 --device cpu --out {out}',
    'analysis_tools/segment.py': '{file} --data scenes --methods linear --limit 2 --epochs 1 --device cpu --out {out}',
    'model_converters/convert.py': '{file} --to torchvision --out {out}',
    'model_converters/convert.py --to onnx': '{file} --to onnx --out {out}',
    'transfer.py': '{file} --task coco-mask-rcnn-c4 --out {out} --device cpu',
    'test.py': '{config} {file} --work-dir {out} --device cpu',
    'train.py --resume': '{config} --resume {file} --work-dir {out} --device cpu',
    'train.py': '{config} --work-dir {out} --device cpu --cfg-options load_from={file}',
}
RUN = """
runner_type = 'PretrainRunner'
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
test_cfg = dict()
test_evaluator = dict(type='CouplingMetric')
default_hooks = dict(logger=None)
train_dataloader['sampler'] = dict(type='EpochSampler')
train_dataloader['collate_fn'] = dict(type='default_collate')
test_dataloader['sampler'] = dict(type='DefaultSampler', shuffle=False)
test_dataloader['collate_fn'] = dict(type='pseudo_collate')
test_dataloader['dataset']['measures'] = [dict(type='ContextShift', objects=2)]
"""


class Pickled:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return Path.mkdir, (Path(self.marker),)


class Scripted(torch.nn.Module):
    """Writes a file when torch's interpreter restores it."""

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.marker = marker
        self.written = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.marker, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]):
        self.weight = state[0]
        self.marker = state[1]
        self.training = state[2]
        self.written = torch.from_file(self.marker, True, 64, dtype=torch.uint8).fill_(65)

    def forward(self, x):
        return x


def code(marker: Path) -> str:
    return f'open({str(marker)!r}, "w").close()\n'


def stored(text: str) -> dict:
    return dict(meta=dict(cfg=text, epoch=1, iter=1), state_dict={'w': torch.zeros(1)})


def write(kind: str, path: Path, marker: Path, whole: dict) -> None:
    """Writes a weight file of a kind, which makes `marker` when it is trusted."""
    call = f"type='subprocess.check_output', args=['touch', {str(marker)!r}]"
    texts = {
        'stored method': f'model = dict({call})\n',
        'stored norm': CONFIG.replace("type='BN'", call),
        'stored mask': CONFIG.replace("type='RegionCollaborativeCutout', preset='paper'", call),
        'stored data': CONFIG.replace("type='SceneObjects'", call),
        'stored transform': CONFIG.replace("type='PackViews'", call),
        'stored code': f'model = [{code(marker).strip()}]\n',
        'stored imports': f"custom_imports = dict(imports=['made_for_the_test'])\n{CONFIG}",
    }
    assert all('subprocess' in text or kind in ('stored code', 'stored imports') for kind, text in texts.items())
    if kind == 'script':
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.jit.script(Scripted(str(marker))).save(str(path))
        marker.unlink(missing_ok=True)
    elif kind == 'pickle':
        torch.save({**whole, 'hook': Pickled(marker)}, path)
    elif kind == 'old pickle':
        torch.save({**whole, 'hook': Pickled(marker)}, path, _use_new_zipfile_serialization=False)
    elif kind == 'executed meta':
        torch.save({**whole, 'meta': {**whole['meta'], 'config': code(marker)}}, path)
    elif kind == 'helper':
        torch.save(whole, path)
        (path.parent / 'plot_my_results.py').write_text(code(marker))
    else:
        torch.save(stored(texts[kind]), path)


KINDS = (
    'pickle',
    'old pickle',
    'script',
    'helper',
    'executed meta',
    'stored method',
    'stored norm',
    'stored mask',
    'stored data',
    'stored transform',
    'stored code',
    'stored imports',
)


@pytest.fixture(scope='module')
def whole():
    """A checkpoint of the tiny config that a run can go on from."""
    from mmengine.config import Config

    from mmdecouple.registry import MODELS

    model = MODELS.build(Config.fromstring(CONFIG, '.py').model)
    return dict(
        meta=dict(cfg=CONFIG, epoch=1, iter=1, seed=0),
        state_dict=model.state_dict(),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        optimizer=torch.optim.SGD(model.parameters(), 0.1).state_dict(),
    )


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Calls a tool on a weight file of a kind; returns its exit code and what it wrote to stderr."""
    (tmp_path / 'tiny.py').write_text(CONFIG + RUN)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), picture)
    (tmp_path / 'made_for_the_test.py').write_text(code(tmp_path / 'marker'))
    monkeypatch.syspath_prepend(str(tmp_path))

    def called(name: str, kind: str, whole: dict) -> tuple[int, str]:
        folder = write_run(tmp_path / 'run', None, config=CONFIG)
        write(kind, folder / 'epoch_1.pth', tmp_path / 'marker', whole)
        script, words = name.split()[0], TOOLS[name]
        places = dict(
            file=folder / 'epoch_1.pth',
            folder=folder,
            config=tmp_path / 'tiny.py',
            out=tmp_path / 'out',
            images=tmp_path / 'photo.png',
        )
        spec = importlib.util.spec_from_file_location(f'tool_{Path(script).stem}', CHECKOUT_TOOLS / script)
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        monkeypatch.setattr(sys, 'argv', [script, *(word.format(**places) for word in words.split())])
        code, begun = 0, time.monotonic()
        try:
            tool.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        assert time.monotonic() - begun < 60
        return code, capsys.readouterr().err.strip()

    return called


# The ways by which tools come to a file: every tool is tried with the kinds that are its own, the rest with `slow`.
QUICK = (
    {('analysis_tools/affinity.py', kind) for kind in KINDS}
    | {(name, 'script') for name in TOOLS}
    | {
        ('analysis_tools/compare_runs.py', 'helper'),
        ('analysis_tools/coupling.py', 'stored data'),
        ('train.py --resume', 'executed meta'),
        ('train.py', 'pickle'),
        ('test.py', 'pickle'),
        ('model_converters/convert.py', 'pickle'),
        ('model_converters/convert.py --to onnx', 'old pickle'),
    }
)


@pytest.mark.parametrize(
    'name, kind',
    [
        pytest.param(name, kind, marks=() if (name, kind) in QUICK else pytest.mark.slow)
        for name in TOOLS
        for kind in KINDS
    ],
)
def test_nothing_in_a_file_runs(name, kind, call, whole, tmp_path):
    code, told = call(name, kind, whole)
    assert not (tmp_path / 'marker').exists(), f'{name} ran what stood in the file'
    if code:
        # An error that is no user's ends the test.
        assert all(len(line) <= MAX_LENGTH for line in told.splitlines() if line.startswith('mmdecouple: error: '))
    else:
        assert kind in ('helper', 'executed meta') or (kind.startswith('stored') and 'converters' not in name)
