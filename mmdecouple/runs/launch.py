"""Preparation of a config to run, and its runner."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.utils.files import check_writable

from .agent import end_with_agent
from .ranks import join_processes, naming_port

if TYPE_CHECKING:
    from mmengine.runner import Runner


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
                'or run mmdecouple doctor.'
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


def prepare(config: Config, args: argparse.Namespace) -> None:
    """Checks a config, chooses the device, and merges the options that training and testing share.

    Args:
        config: Config with the overrides applied; `work_dir` and `launcher` are set.
        args: Parsed arguments: `cfg_options`, `device`, `out`, and those of `add_launcher`.

    Raises:
        UserError: The folder cannot be written, or the config is invalid, see `mmdecouple.configuration.check_config`.
    """
    from mmdecouple.configuration import check_config

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    check_config(config, args.cfg_options)
    choose_device(args.device or config.get('device', 'auto'))
    config.launcher = args.launcher or 'none'
    if args.out is not None:
        config.work_dir = str(args.out)
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(config.filename).stem)
    check_writable(Path(config.work_dir) / Path(config.filename).name)


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
