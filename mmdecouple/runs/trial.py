"""Minimal pre-training run, which checks that the installation works as a whole."""

import tempfile
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdecouple.utils.configs import load_config
from mmdecouple.weights.checkpoint import read_checkpoint

from .launch import build_runner

_SMALL: dict[str, Any] = {
    'model.queue_length': 8,
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.neck.in_channels': 32,
    'model.neck.hid_channels': 16,
    'train_dataloader.batch_size': 4,
    'train_dataloader.dataset.num_images': 4,
    'train_cfg.max_epochs': 2,
    'default_hooks.checkpoint.interval': 1,
    'param_scheduler': None,
    'randomness.seed': 0,
    'visualizer.vis_backends': [],
    'log_level': 'ERROR',
}


def try_training() -> str:
    """Takes two optimizer steps on built-in scenes, writes a checkpoint after each, and resumes from the first.

    Returns:
        Short summary of what was done.

    Raises:
        RuntimeError: A checkpoint is missing or incomplete.
    """
    with tempfile.TemporaryDirectory(prefix='mmdecouple-trial-') as folder:
        whole, resumed = Path(folder) / 'whole', Path(folder) / 'resumed'
        _train(whole)
        first, last = whole / 'epoch_1.pth', whole / 'epoch_2.pth'
        if not (first.is_file() and last.is_file()):
            raise RuntimeError('two steps were taken, but their checkpoints are missing')
        _train(resumed, resume=True, load_from=str(first))
        one, other = (read_checkpoint(str(path))['state_dict'] for path in (last, resumed / last.name))
        if one.keys() != other.keys() or not all(one[name].isfinite().all() for name in one):
            raise RuntimeError('two steps were taken, but the weights in their checkpoints are incomplete')
    return 'ready: two steps, checkpoints written and read'


def _train(folder: Path, **changes: object) -> None:
    config: Config = load_config('mmdecouple::demo/densecl-d_resnet-demo_scenes.py', {**_SMALL, **changes})
    # Two runs of the same name that start within one second would share mmengine's visualizer.
    config.work_dir, config.launcher, config.experiment_name = str(folder), 'none', folder.name
    build_runner(config).train()
