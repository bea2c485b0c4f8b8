"""A toy project on disk (model, data, metric, config) that the tools can run in a second or two."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT_TOOLS = ROOT / 'tools'

TOY_MODULE = """
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS


@DATASETS.register_module()
class ToyNumbers(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([float(index)]), target=torch.tensor([2.0 * index]))


@MODELS.register_module()
class ToyLine(BaseModel):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, inputs, target, mode='tensor'):
        prediction = self.line(inputs)
        if mode == 'loss':
            return dict(loss=(prediction - target).square().mean())
        return list((prediction - target).abs())


@METRICS.register_module()
class ToyError(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.extend(float(value) for value in data_samples)

    def compute_metrics(self, results):
        return dict(error=sum(results) / len(results), count=len(results))
"""

TOY_CONFIG = """
custom_imports = dict(imports=['toy_module'], allow_failed_imports=False)
default_scope = 'mmengine'
model = dict(type='ToyLine')
loader = dict(
    collate_fn=dict(type='default_collate'),
    batch_size=2, num_workers=0, dataset=dict(type='ToyNumbers'),
    sampler=dict(type='DefaultSampler', shuffle=False))
train_dataloader = loader
test_dataloader = loader
train_cfg = dict(by_epoch=True, max_epochs=1)
test_cfg = dict()
test_evaluator = dict(type='ToyError')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.001))
randomness = dict(seed=0)
"""


@pytest.fixture(scope='session')
def toy(tmp_path_factory):
    """Folder with `toy_module.py` and `toy_line.py` (a config)."""
    folder = tmp_path_factory.mktemp('toy')
    (folder / 'toy_module.py').write_text(TOY_MODULE)
    (folder / 'toy_line.py').write_text(TOY_CONFIG)
    return folder


@pytest.fixture
def convert():
    """The command `convert`; the file with the weights is copied out of its folder to the path of the second word."""
    from mmdecouple.commands.convert import main
    from mmdecouple.export.writing import files_of

    def call(source, target, *words):
        folder = target.parent / f'{target.name}.folder'
        main([str(source), '--out', str(folder), *map(str, words)])
        shutil.copy(files_of(words[words.index('--to') + 1], folder)[0], target)

    return call


def load_tool(name: str, folder: str = 'analysis_tools'):
    """Imports a tool of this checkout by its path."""
    spec = importlib.util.spec_from_file_location(name, CHECKOUT_TOOLS / folder / f'{name}.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def run(command, *, toy_folder, cwd, ok=True, extra_env=None):
    """Runs a command with the toy module importable; returns its output and checks how it ended."""
    env = {key: value for key, value in os.environ.items() if not key.startswith('PYTHON')}
    env.update(
        PYTHONPATH=str(toy_folder),
        PYTHON=sys.executable,
        OMP_NUM_THREADS='1',
        COLUMNS='200',
        CUDA_VISIBLE_DEVICES='-1',
        **(extra_env or {}),
    )
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=240
    )
    assert (result.returncode == 0) == ok, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout + result.stderr
