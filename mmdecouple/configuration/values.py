"""Types and ranges of the config keys that mmengine's runner reads, as a table of key patterns."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from mmdecouple.utils.errors import UserError, shown


class Kind(NamedTuple):
    """The allowed values of a config key.

    Attributes:
        type: Type with range, checked by `msgspec`.
        description: Description of the type for error messages.
        exception: One further allowed value outside of the range.
    """

    type: Any
    description: str
    exception: Any = None

    def or_none(self) -> 'Kind':
        """Returns the same kind that also allows None."""
        return Kind(self.type | None, f'{self.description}, or None')


def _numbers(description: str, **bounds: float) -> Kind:
    # The finite bounds exclude infinity and NaN.
    return Kind(Annotated[float, Meta(**{'ge': -1e300, 'le': 1e300, **bounds})], description)


def _one_of(*names: str) -> Kind:
    return Kind(Literal[names], f'one of {", ".join(names)}')


COUNT = Kind(Annotated[int, Meta(ge=1)], 'a whole number of at least 1')
WHOLE = Kind(Annotated[int, Meta(ge=0)], 'a whole number of at least 0')
SEED = Kind(Annotated[int, Meta(ge=0, le=2**32 - 1)], 'a whole number from 0 to 4294967295')
NUMBER = _numbers('a finite number')
NOT_NEGATIVE = _numbers('a finite number of at least 0', ge=0)
POSITIVE = Kind(Annotated[float, Meta(gt=0, le=1e300)], 'a finite number above 0')
FRACTION = _numbers('a number from 0 to 1', ge=0, le=1)
FLAG = Kind(bool, 'True or False')
TEXT = Kind(Annotated[str, Meta(min_length=1)], 'a non-empty string')
BLOCK = Kind(dict, 'a dict')
INTERVAL = Kind(COUNT.type, 'a whole number of at least 1, or -1 for never', -1)
LIMIT = Kind(COUNT.type, 'a whole number of at least 1, or -1 for all', -1)
_BELOW_ONE = Annotated[float, Meta(ge=0, lt=1)]
_NOT_NEGATIVE = Annotated[float, Meta(ge=0, le=1e300)]
BETAS = Kind(
    Annotated[list[_BELOW_ONE | None], Meta(min_length=2, max_length=3)], 'a pair of numbers from 0 to less than 1'
)
SMALL = Kind(_NOT_NEGATIVE | list[_NOT_NEGATIVE | None] | None, 'a finite number of at least 0')
STEPS = Kind(Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)], 'a list of whole numbers of at least 0')
BLOCK_OR_BLOCKS = Kind(dict | list[dict] | None, 'a dict, a list of dicts, or None')

_LOADER = {
    '': BLOCK.or_none(),
    '.batch_size': COUNT,
    '.num_workers': WHOLE,
    '.persistent_workers': FLAG,
    '.pin_memory': FLAG,
    '.drop_last': FLAG,
    '.prefetch_factor': COUNT.or_none(),
    '.timeout': NOT_NEGATIVE,
    '.num_batch_per_epoch': COUNT.or_none(),
    '.dataset': BLOCK,
    '.sampler': BLOCK,
    '.batch_sampler': BLOCK.or_none(),
    '.sampler.shuffle': FLAG,
    '.sampler.round_up': FLAG,
    '.collate_fn': BLOCK,
}
_SCHEDULER = {
    '': BLOCK,
    '.begin': WHOLE,
    '.end': COUNT,
    '.T_max': COUNT.or_none(),
    '.by_epoch': FLAG,
    '.convert_to_iter_based': FLAG,
    '.milestones': STEPS,
    '.step_size': COUNT,
    '.eta_min': NUMBER.or_none(),
    '.eta_min_ratio': FRACTION.or_none(),
    '.gamma': POSITIVE,
    '.power': NUMBER,
    '.start_factor': NOT_NEGATIVE,
    '.end_factor': NOT_NEGATIVE,
    '.factor': NOT_NEGATIVE,
    '.warmup': NOT_NEGATIVE,
    '.total_steps': COUNT,
}

VALUES: dict[str, Kind] = {
    'model': BLOCK,
    'data_preprocessor': BLOCK.or_none(),
    'model_wrapper_cfg': BLOCK.or_none(),
    **{f'{split}_dataloader{key}': kind for split in ('train', 'val', 'test') for key, kind in _LOADER.items()},
    'train_cfg': BLOCK.or_none(),
    'train_cfg.by_epoch': FLAG,
    'train_cfg.max_epochs': COUNT,
    'train_cfg.max_iters': COUNT,
    'train_cfg.val_begin': WHOLE,
    'train_cfg.val_interval': _numbers('a number of at least 1', ge=1),
    'val_cfg': BLOCK.or_none(),
    'val_cfg.fp16': FLAG,
    'test_cfg': BLOCK.or_none(),
    'test_cfg.fp16': FLAG,
    'val_evaluator': BLOCK_OR_BLOCKS,
    'test_evaluator': BLOCK_OR_BLOCKS,
    'optim_wrapper': BLOCK.or_none(),
    'optim_wrapper.accumulative_counts': COUNT,
    'optim_wrapper.constructor': TEXT,
    'optim_wrapper.paramwise_cfg': BLOCK.or_none(),
    'optim_wrapper.clip_grad': BLOCK.or_none(),
    'optim_wrapper.clip_grad.max_norm': POSITIVE,
    'optim_wrapper.clip_grad.clip_value': POSITIVE,
    'optim_wrapper.clip_grad.norm_type': POSITIVE,
    'optim_wrapper.optimizer': BLOCK,
    'optim_wrapper.optimizer.lr': NOT_NEGATIVE,
    'optim_wrapper.optimizer.weight_decay': NOT_NEGATIVE,
    'optim_wrapper.optimizer.momentum': FRACTION,
    'optim_wrapper.optimizer.dampening': NUMBER,
    'optim_wrapper.optimizer.betas': BETAS,
    'optim_wrapper.optimizer.eps': SMALL,
    'optim_wrapper.optimizer.nesterov': FLAG,
    'optim_wrapper.optimizer.amsgrad': FLAG,
    'param_scheduler': BLOCK_OR_BLOCKS,
    **{f'param_scheduler{key}': kind for key, kind in _SCHEDULER.items() if key},
    **{f'param_scheduler.*{key}': kind for key, kind in _SCHEDULER.items() if key},
    'auto_scale_lr': BLOCK.or_none(),
    'auto_scale_lr.base_batch_size': COUNT,
    'auto_scale_lr.enable': FLAG,
    'default_hooks': BLOCK.or_none(),
    'default_hooks.*': BLOCK.or_none(),
    'default_hooks.logger.interval': COUNT,
    'default_hooks.checkpoint.interval': INTERVAL,
    'default_hooks.checkpoint.max_keep_ckpts': LIMIT,
    'default_hooks.checkpoint.by_epoch': FLAG,
    'default_hooks.checkpoint.save_last': FLAG,
    'custom_hooks': Kind(list[dict] | None, 'a list of dicts'),
    'env_cfg': BLOCK,
    'env_cfg.cudnn_benchmark': FLAG,
    'env_cfg.resource_limit': COUNT,
    'env_cfg.mp_cfg': BLOCK,
    'env_cfg.mp_cfg.mp_start_method': _one_of('fork', 'spawn', 'forkserver'),
    'env_cfg.mp_cfg.opencv_num_threads': WHOLE,
    'env_cfg.dist_cfg': BLOCK,
    'env_cfg.dist_cfg.backend': TEXT,
    'env_cfg.dist_cfg.init_backend': TEXT,
    'env_cfg.dist_cfg.init_method': TEXT,
    'env_cfg.dist_cfg.timeout': POSITIVE,
    'randomness': BLOCK,
    'randomness.seed': SEED.or_none(),
    'randomness.diff_rank_seed': FLAG,
    'randomness.deterministic': FLAG,
    'visualizer': BLOCK.or_none(),
    'visualizer.vis_backends': Kind(list[dict] | None, 'a list of dicts'),
    'visualizer.vis_backends.*.save_dir': TEXT.or_none(),
    'log_processor': BLOCK.or_none(),
    'log_processor.window_size': COUNT,
    'log_processor.num_digits': COUNT,
    'log_processor.by_epoch': FLAG,
    'log_level': _one_of('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'),
    'load_from': TEXT.or_none(),
    'resume': FLAG,
    'launcher': _one_of('none', 'pytorch', 'slurm', 'mpi'),
    'work_dir': TEXT.or_none(),
    'experiment_name': TEXT.or_none(),
    'default_scope': TEXT.or_none(),
    'runner_type': TEXT,
    'device': _one_of('auto', 'cpu', 'cuda'),
    'compile': Kind(bool | dict, 'True, False, or a dict'),
    'sync_bn': Kind(Literal['torch', 'mmcv'] | None, 'one of torch, mmcv, or None'),
    'find_unused_parameters': FLAG,
    'allow_pickle_checkpoint': FLAG,
    'elastic': FLAG,
    'device_photometric': FLAG,
    'device_views': FLAG,
    'custom_imports': BLOCK.or_none(),
    'activation_checkpointing': Kind(list[str] | str | None, 'a list of names'),
    'efficient_conv_bn_eval': Kind(list[str] | str | None, 'a list of names'),
}
"""Pattern of a dotted key (`*` for one key or index) -> its allowed values. Other keys are not checked here. The root
keys of this table are those that a run reads."""

ROOT_KEYS = frozenset(key for key in VALUES if '.' not in key)
# Blocks whose keys are read one by one; all others are the arguments of a class or function.
PLAIN_BLOCKS = ('env_cfg', 'env_cfg.mp_cfg', 'env_cfg.dist_cfg', 'randomness', 'auto_scale_lr')


def keys_of(block: str) -> frozenset[str]:
    """Returns the keys that a plain block may have."""
    return frozenset(key.rpartition('.')[2] for key in VALUES if key.rpartition('.')[0] == block)


def check_values(config: dict) -> None:
    """Checks all values of a config that are in the table.

    Args:
        config: Config as plain dicts and lists.

    Raises:
        UserError: A value has a wrong type or is out of range; the message has the key, the value and the allowed
            values.
    """
    for pattern, kind in VALUES.items():
        for key, value in _matching(config, pattern.split('.'), ''):
            check_value(key, value, kind)


def check_value(key: str, value: Any, kind: Kind) -> None:
    """Checks one value.

    Args:
        key: Dotted config key, for the error message.
        value: Value to check.
        kind: Allowed values.

    Raises:
        UserError: The value is not allowed.
    """
    if kind.exception is not None and value == kind.exception:
        return
    try:
        msgspec.convert(value, kind.type)
    except msgspec.ValidationError as error:
        raise UserError(f'config key {key} must be {kind.description}, got {shown(value)}.') from error


def _matching(node: Any, pattern: list[str], key: str) -> Iterator[tuple[str, Any]]:
    if not pattern:
        yield key[1:], node
    elif isinstance(node, dict):
        for name in [name for name in node if fnmatchcase(str(name), pattern[0])]:
            yield from _matching(node[name], pattern[1:], f'{key}.{name}')
    elif isinstance(node, list | tuple) and pattern[0] == '*':
        for index, item in enumerate(node):
            yield from _matching(item, pattern[1:], f'{key}.{index}')
