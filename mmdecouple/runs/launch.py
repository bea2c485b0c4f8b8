"""Shared parts of the command-line tools: common options, and preparation of a config to run."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from mmdecouple.utils.arguments import add_overrides
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.utils.files import check_writable

from .agent import end_with_agent
from .ranks import join_processes, naming_port

if TYPE_CHECKING:
    from mmengine.runner import Runner


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that training and testing share."""
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: work_dirs/<config name>)')
    add_overrides(parser, 'overrides, e.g. optim_wrapper.optimizer.lr=0.1 train_dataloader.batch_size=16')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], help='auto (default) takes CUDA when there is one')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # Versions of torch.distributed.launch pass different spellings.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def choose_device(device: str) -> None:
    """Hides CUDA devices from the process for `cpu`, and checks that there is one for `cuda`.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UserError: `device` is unknown, or `cuda` is requested and no CUDA device is usable.
    """
    if device not in ('auto', 'cpu', 'cuda'):
        raise UserError(f'device must be auto, cpu or cuda, got {device!r} (config key device).')
    if device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    elif device == 'cuda':
        import torch

        if not torch.cuda.is_available():
            raise UserError(
                f'CUDA was requested (--device or config key device), but torch '
                f'{torch.__version__} finds no CUDA device; use --device cpu, '
                'or run tools/misc/doctor.py.'
            )


def existing_checkpoint(path: str) -> str:
    """Returns the path if it is an existing file or a URL.

    Raises:
        MissingFile: The file does not exist.
    """
    if '://' not in path and not Path(path).is_file():
        raise MissingFile(f'checkpoint {path} does not exist; check the path.')
    return path


def require_keys(config: Config, keys: tuple[str, ...], purpose: str) -> None:
    """Checks that a config has the keys that a tool uses.

    Args:
        config: The config.
        keys: Names of the keys.
        purpose: Name of the use, for the message.

    Raises:
        UserError: A key is missing or None.
    """
    missing = [key for key in keys if config.get(key) is None]
    if missing:
        raise UserError(
            f'config {config.filename} cannot be used for {purpose}: it has no {", ".join(missing)}; choose a '
            'complete config.'
        )


def prepare_config(args: argparse.Namespace) -> Config:
    """Reads the config named on the command line and merges the common options into it.

    Args:
        args: Parsed arguments with `config` and those of `add_run_options`.

    Returns:
        The config with `work_dir` and `launcher` set; the device of its key `device` has been selected.

    Raises:
        UserError: `work_dir` cannot be written, or the config is invalid, see `mmdecouple.configuration.check_config`.
    """
    from mmdecouple.configuration import check_config

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = load_config(args.config, args.cfg_options)
    check_config(config, args.cfg_options)
    choose_device(args.device or config.get('device', 'auto'))
    config.launcher = args.launcher
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(config.filename).stem)
    check_writable(Path(config.work_dir) / Path(config.filename).name)
    return config


def build_runner(config: Config) -> 'Runner':
    """Builds the runner of the config key `runner_type`, or that of mmengine; ranks end together with their agent."""
    from mmengine.runner import Runner

    end_with_agent()
    join_processes(config)
    from mmdecouple.registry import RUNNERS
    from mmdecouple.weights.mmengine_loading import trust_pickles

    from .startup import prepare_process

    prepare_process()
    trust_pickles(bool(config.get('allow_pickle_checkpoint', False)))
    return RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)


@contextmanager
def running(config: Config) -> Iterator['Runner']:
    """Context that yields the runner; failures due to the config up to the first step become `UserError`s."""
    from mmdecouple.configuration import naming_config_keys

    with naming_config_keys(config):
        with naming_port():
            runner = build_runner(config)
        yield runner
