"""Runs of the tiny cases through `tools/train.py`, each in a process of its own or in several."""

import os
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tests.forked import run_file
from tests.integration.resume_case import CONFIGS

ROOT = Path(__file__).resolve().parents[2]


def write_case(folder: Path) -> Path:
    """A folder with 24 images, one of them broken, and a config for each method."""
    rng = np.random.default_rng(0)
    (folder / 'images').mkdir()
    for index in range(24):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'images/{index:02}.jpg'), cv2.resize(coarse, (80, 60)))
    (folder / 'images' / '07.jpg').write_bytes(b'broken')
    for name, text in CONFIGS.items():
        (folder / f'{name}.py').write_text(text.replace('{images}', str(folder / 'images')))
    return folder


def train(
    case: Path,
    work_dir: str,
    *arguments: str,
    method: str = 'densecl-d',
    options: tuple = (),
    processes: int = 1,
    hook: dict | None = None,
) -> subprocess.CompletedProcess:
    """Train a case in a work folder below it, if asked with one more hook or in several gloo processes."""
    config = case / f'{method}.py'
    if hook is not None:
        config = case / f'{work_dir}.py'
        config.write_text(f"_base_ = ['{method}.py']\ncustom_hooks = _base_.custom_hooks + [{hook!r}]\n")
    words = [
        str(ROOT / 'tools/train.py'),
        str(config),
        '--work-dir',
        str(case / work_dir),
        '--device',
        'cpu',
        *arguments,
    ]
    if processes > 1:
        words += ['--launcher', 'pytorch']
    words += ['--cfg-options', 'randomness.seed=5', 'env_cfg.dist_cfg.backend=gloo', *options]
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    return run_file(words, cwd=ROOT, env=env, timeout=280, ranks=processes)


def differing(first: Any, second: Any, path: str = '') -> list[str]:
    """Paths at which two nested states are not equal to the last bit."""
    if torch.is_tensor(first):
        same = (
            first.dtype == second.dtype
            and first.shape == second.shape
            and first.numpy().tobytes() == second.numpy().tobytes()
        )
        return [] if same else [path]
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [f'{path} keys']
        return [p for key in first for p in differing(first[key], second[key], f'{path}.{key}')]
    if isinstance(first, (list, tuple)):
        return [p for i, (a, b) in enumerate(zip(first, second, strict=True)) for p in differing(a, b, f'{path}[{i}]')]
    return [] if first == second else [path]
