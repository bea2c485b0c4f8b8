"""Inputs of strangers, as public issue trackers have them: each works or ends in one line.

The folder of cases makes the inputs (`NN-name.sh OUTDIR`); it is no part of the project. `MMDECOUPLE_CASES` names it.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from mmdecouple.utils.errors import MAX_LENGTH, PREFIX

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get('MMDECOUPLE_CASES') or 'no-such-folder')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CASES.is_dir(), reason='set MMDECOUPLE_CASES to the folder of cases'),
]
MEASURE = (
    'analysis_tools/coupling.py configs/demo/ibot_vit-demo_scenes.py --data coco:{out}:train:val --size 96 '
    '--limit 8 --measures OKNN IntraCouplingRatio ContextShift --device cpu --out {out}/o'
)
TRAIN = 'train.py {out}/cfg.py --work-dir {out}/run --device cpu --seed 1'
MAP = 'analysis_tools/affinity.py {word} --data {out}/i.jpg --size 224 --device cpu --out {out}/a'


class Try(NamedTuple):
    """One command and how it ends.

    Attributes:
        command: Tool and arguments, `{out}` for the folder of the case.
        refused: What the one line contains; None if the command works.
        said: What the output of a command that works contains.
    """

    command: str
    refused: str | None = None
    said: str = ''


def options(words: str) -> str:
    return f'{TRAIN} --cfg-options {words}'


TRIES = {
    '01': [Try(MEASURE, r'instances_\w+\.json.*id')],
    '03': [Try(MEASURE, r'instances_\w+\.json.*image.* id')],
    '04': [Try(MEASURE, r'instances_\w+\.json.*annotation.*\b7\b')],
    '05': [Try(MEASURE, r'instances_\w+\.json.*bbox')],
    '07': [Try(MEASURE, r'instances_\w+\.json.*polygon')],
    '08': [Try(MEASURE, r'instances_\w+\.json.*segmentation')],
    '10': [Try(MEASURE, r'instances_\w+\.json.*48')],
    '11': [Try(MEASURE, said='outside')],
    '13': [Try(MEASURE)],
    '14': [Try(MEASURE, r'instances_\w+\.json.*images')],
    '15': [Try(MEASURE)],
    '16': [Try(MEASURE)],
    '17': [Try('model_converters/convert.py {out}/w.pth --to dino --role teacher --force --out {out}/dino')],
    '20': [
        Try(MAP.replace('{word}', 'timm:vit_tiny_patch16_224={out}/w.pth'), 'norm'),
        Try(MAP.replace('{word}', 'timm:vit_tiny_patch16_224={out}/w.pth').replace('affinity', 'lsc'), 'norm'),
    ],
    '21': [
        Try('model_converters/convert.py {out}/w.pth --to timm --force --out {out}/timm'),
        Try('model_converters/convert.py {out}/r.pth --to torchvision --force --out {out}/torchvision'),
        Try(MAP.replace('{word}', 'timm:vit_tiny_patch16_224={out}/w.pth').replace('{out}/i.jpg', 'scenes --limit 1')),
    ],
    '22': [Try(MAP.replace('{word}', 'timm:vit_small_patch14_reg4_dinov2={out}/authors.pth'))],
    '23': [Try(TRAIN, said=r'\[2/2\]')],
    '25': [Try(TRAIN, 'batch')],
    '27': [Try(options('train_dataloader.dataset.ann_file=list.txt'), 'list.txt.*UTF-8')],
    '29': [
        Try(TRAIN),
        Try(
            TRAIN + ' --resume --cfg-options optim_wrapper.optimizer.lr=0.5 train_cfg.max_epochs=2',
            said=r'optim_wrapper\.optimizer\.lr',
        ),
    ],
    '30': [
        Try(options('visualizer.vis_backends.0.type=WandbVisBackend'), 'pip install wandb'),
        Try(options('visualizer.vis_backends.0.type=MLflowVisBackend'), 'pip install mlflow'),
    ],
    '31': [
        Try(options('optim_wrapper.optimizer.type=Adamm'), r'optim_wrapper\.optimizer.*Adam'),
        Try(options('model.backbone.depth=17'), r'model\.backbone.*17'),
        Try(options('train_dataloader.batch_size=0'), r'train_dataloader\.batch_size'),
    ],
    '33': [Try(TRAIN)],
    '34': [
        Try(options('model.queue_length=3')),
        Try(options('model.queue_length=65').replace('/run', '/run2')),
        Try(
            options('train_dataloader.drop_last=False train_dataloader.batch_size=11').replace('/run', '/run3'), 'batch'
        ),
    ],
    '35': [Try(TRAIN, said=r'\[2/2\]')],
    '36': [
        Try(TRAIN.replace('{out}/cfg.py', '"{out}/a b.c ü/cfg.py"')),
        Try(TRAIN.replace('cfg', 'crlf').replace('/run', '/run2')),
        Try(TRAIN.replace('cfg', 'bom').replace('/run', '/run3'), 'byte order mark'),
    ],
}


@pytest.mark.parametrize('number', TRIES)
def test_a_case_works_or_is_refused_in_one_line(number, tmp_path):
    (script,) = CASES.glob(f'{number}-*.sh')
    subprocess.run(
        ['bash', script, tmp_path], check=True, capture_output=True, env=dict(os.environ, PYTHON=sys.executable)
    )
    for command, refused, said in TRIES[number]:
        words = [word.replace('{out}', str(tmp_path)) for word in shlex.split(command)]
        ended = subprocess.run(
            [sys.executable, ROOT / 'tools' / words[0], *words[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='2'),
        )
        assert 'Traceback' not in ended.stderr, ended.stderr[-3000:]
        if refused is None:
            assert ended.returncode == 0, ended.stderr[-3000:]
            assert re.search(said, ended.stdout + ended.stderr), ended.stdout[-3000:]
        else:
            (line,) = (line for line in ended.stderr.splitlines() if PREFIX in line)
            assert ended.returncode == 1 and len(line) <= MAX_LENGTH and re.search(refused, line), line
    if number == '17':
        assert (torch.load(tmp_path / 'dino' / 'backbone.pth', weights_only=True)['cls_token'] == 2).all()
