"""Check of a config before anything is built: its keys, their values, and the arguments of its classes."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmdecouple.configuration.blocks import Blocks, check_arguments
from mmdecouple.configuration.names import close_names, suggestion
from mmdecouple.configuration.overrides import check_overrides, check_root_keys
from mmdecouple.configuration.registries import resolve
from mmdecouple.configuration.values import PLAIN_BLOCKS, check_values, keys_of
from mmdecouple.utils.compatibility import CAN_COMPILE
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import UserError

SPLITS = ('train', 'val', 'test')
# Keys that mmengine's builder of loaders reads, in addition to the arguments of torch's loader.
_OF_LOADERS = ('num_batch_per_epoch', 'disable_subprocess_warning')
_OF_PARAMWISE = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'dwconv_decay_mult',
    'flat_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)


def check_config(config: Config, options: Mapping[str, Any] | None = None) -> None:
    """Raises an error for settings that would fail in a run, or that a run would ignore; builds nothing.

    Args:
        config: Config with the overrides applied.
        options: These overrides by dotted keys, as from `--cfg-options`.

    Raises:
        UserError: A key is not used, a class or an argument is unknown, or a value has a wrong type or is out of range.
            The message is one line with the dotted key, and close names if there are any.
    """
    content = config.to_dict()
    check_overrides(content, options or {}, lambda: load_config(config.filename).to_dict())
    check_root_keys(content)
    check_values(content)
    _check_groups(content)
    for key in PLAIN_BLOCKS:
        _check_plain_block(content, key)
    _check_blocks(content)


def _check_groups(config: dict) -> None:
    groups = [
        ('train_dataloader', 'train_cfg', 'optim_wrapper'),
        *((f'{split}_dataloader', f'{split}_cfg', f'{split}_evaluator') for split in SPLITS[1:]),
    ]
    for group in groups:
        present = [key for key in group if config.get(key) is not None]
        if present and len(present) < len(group):
            missing = next(key for key in group if key not in present)
            raise UserError(
                f'the config has {" and ".join(present)}, but it has no {missing}: set all of the config keys '
                f'{", ".join(group)}, or none.'
            )


def _check_plain_block(config: dict, key: str) -> None:
    block: Any = config
    for part in key.split('.'):
        block = block.get(part) or {}
    for name in block:
        if name not in keys_of(key) and name != '_scope_':
            close = suggestion(close_names(name, keys_of(key)), keys_of(key))
            raise UserError(f'config key {key}.{name} is not used{close}.')


def _check_blocks(config: dict) -> None:
    scope = config.get('default_scope') or 'mmengine'
    if find_spec(scope.partition('.')[0]) is None:
        raise UserError(f'config key default_scope: the package {scope} is not installed; use mmdecouple.')
    blocks = Blocks(scope)
    if config.get('runner_type') is not None:
        resolve('runner', config['runner_type'], scope, 'runner_type')
    if config.get('compile') and not CAN_COMPILE:
        raise UserError(f'config key compile needs torch 2.5 or newer, not {torch.__version__}; remove it.')
    if isinstance(config.get('compile'), dict):
        check_arguments(torch.compile, config['compile'], 'compile')
    if config.get('model') is not None:
        blocks.check(config['model'], 'model', 'model')
    for split in SPLITS:
        _check_loader(config.get(f'{split}_dataloader'), f'{split}_dataloader', blocks)
        _check_loop(config, split, blocks)
    for key in ('val_evaluator', 'test_evaluator'):
        _check_evaluator(config.get(key), key, blocks)
    _check_optimization(config, blocks)
    for name, hook in (config.get('default_hooks') or {}).items():
        if hook is not None and name != '_scope_':
            blocks.check(hook, f'default_hooks.{name}', 'hook', extra=['priority'])
    for index, hook in enumerate(config.get('custom_hooks') or []):
        blocks.check(hook, f'custom_hooks.{index}', 'hook', extra=['priority'])
    if config.get('visualizer') is not None:
        blocks.check(config['visualizer'], 'visualizer', 'visualizer')
    blocks.check(config.get('log_processor') or {}, 'log_processor', 'log processor', 'LogProcessor')


def _check_loader(loader: dict | None, key: str, blocks: Blocks) -> None:
    if loader is None:
        return
    check_arguments(DataLoader, set(loader) - {'_scope_', *_OF_LOADERS}, key)
    for part, kind in (('dataset', 'data set'), ('sampler', 'sampler')):
        if loader.get(part) is None:
            raise UserError(f'config key {key} has no {part}: set it to a {kind}, a dict with a type.')
        blocks.check(loader[part], f'{key}.{part}', kind)
    if loader.get('batch_sampler') is not None:
        blocks.check(loader['batch_sampler'], f'{key}.batch_sampler', 'sampler')
    for part in ('collate_fn', 'worker_init_fn'):
        if loader.get(part) is not None:
            blocks.check(loader[part], f'{key}.{part}', 'function')


def _check_loop(config: dict, split: str, blocks: Blocks) -> None:
    loop, key = config.get(f'{split}_cfg'), f'{split}_cfg'
    if loop is None:
        return
    if split != 'train':
        default = 'ValLoop' if split == 'val' else 'TestLoop'
    elif loop.get('by_epoch', True):
        default = 'mmdecouple.ResumableEpochLoop'
    else:
        default = 'IterBasedTrainLoop'
    length = 'max_epochs' if loop.get('by_epoch', True) else 'max_iters'
    if split == 'train' and 'type' not in loop and loop.get(length) is None:
        raise UserError(f'config key {key} has no {length}: set the length of the training.')
    blocks.check(loop, key, 'loop', default, extra=['by_epoch'])


def _check_evaluator(evaluator: Any, key: str, blocks: Blocks) -> None:
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        blocks.check(evaluator, key, 'evaluator', 'Evaluator')
    elif isinstance(evaluator, dict):
        blocks.check(evaluator, key, 'metric')
    else:
        for index, metric in enumerate(evaluator or []):
            blocks.check(metric, f'{key}.{index}', 'metric')


def _check_optimization(config: dict, blocks: Blocks) -> None:
    wrapper = config.get('optim_wrapper')
    if wrapper is None:
        return
    if 'constructor' in wrapper:
        resolve('constructor of optimizer wrappers', wrapper['constructor'], blocks.scope, 'optim_wrapper.constructor')
    elif wrapper.get('optimizer') is None:
        raise UserError('config key optim_wrapper has no optimizer: set it to a dict with a type.')
    if 'optimizer' in wrapper:
        # Several optimizers are named blocks, which their own constructor reads.
        blocks.check(wrapper, 'optim_wrapper', 'optimizer wrapper', 'OptimWrapper', ['constructor', 'paramwise_cfg'])
    if 'constructor' not in wrapper:
        for name in wrapper.get('paramwise_cfg') or {}:
            if name not in _OF_PARAMWISE:
                close = suggestion(close_names(name, _OF_PARAMWISE), _OF_PARAMWISE)
                raise UserError(f'config key optim_wrapper.paramwise_cfg.{name} is not used{close}.')
    schedulers = config.get('param_scheduler') or []
    named = (
        [('param_scheduler', schedulers)]
        if isinstance(schedulers, dict)
        else [(f'param_scheduler.{index}', scheduler) for index, scheduler in enumerate(schedulers)]
    )
    for key, scheduler in named:
        if 'optimizer' in wrapper:
            blocks.check(scheduler, key, 'scheduler', extra=['convert_to_iter_based', 'epoch_length'])
