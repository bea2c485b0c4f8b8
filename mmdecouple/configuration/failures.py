"""Errors of other packages about a value of a config, as one line with its config key."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.runner import BaseLoop, Runner

from mmdecouple.utils.compatibility import OutOfMemoryError
from mmdecouple.utils.errors import UserError, user_message

# Method of mmengine's runner -> config key that it reads.
_STEPS = {
    'setup_env': 'env_cfg',
    'set_randomness': 'randomness',
    'build_logger': 'log_level',
    'build_log_processor': 'log_processor',
    'build_visualizer': 'visualizer',
    'add_config': 'visualizer',
    'build_model': 'model',
    'wrap_model': 'model_wrapper_cfg',
    'register_default_hooks': 'default_hooks',
    'register_custom_hooks': 'custom_hooks',
    'build_train_loop': 'train_cfg',
    'build_val_loop': 'val_cfg',
    'build_test_loop': 'test_cfg',
    'build_optim_wrapper': 'optim_wrapper',
    'scale_lr': 'auto_scale_lr',
    '_init_model_weights': 'model',
    'build_param_scheduler': 'param_scheduler',
    'build_evaluator': 'test_evaluator',
    '_maybe_compile': 'compile',
    'load_or_resume': 'load_from',
    'init_dist': 'env_cfg.dist_cfg',
}
# Function that builds an object from a dict -> its argument for the dict.
_BUILDERS = {'build_from_cfg': 'cfg', 'build_dataloader': 'dataloader'}
# Bugs in code, and limits of the machine.
_NOT_OF_A_CONFIG = (NameError, NotImplementedError, SyntaxError, RecursionError, MemoryError, OutOfMemoryError)


@contextmanager
def naming_config_keys(config: Config) -> Iterator[None]:
    """Context manager that converts errors of building a run, and of its first step, to errors with a config key.

    Errors that occur later, or that no value of the config causes, propagate unchanged. The original error is the cause
    of the new one.

    Args:
        config: Config of the run.

    Raises:
        UserError: The run cannot be built, or its first step fails.
    """
    try:
        yield
    except Exception as error:
        if user_message(error) is not None or isinstance(error, _NOT_OF_A_CONFIG):
            raise
        where = _where(error, config.to_dict())
        if where is None:
            raise
        # An assertion without a message is described by its line of code.
        reason = next(iter(str(error).strip().splitlines()), '') or extract_tb(error.__traceback__)[-1].line or ''
        raise UserError(
            f'{where}: {type(error).__name__}: {_shortened(reason)} (MMDECOUPLE_TRACEBACK=1 shows the traceback).'
        ) from error


def _shortened(text: str, max_length: int = 140) -> str:
    return text if len(text) <= max_length else f'{text[: max_length - 33]}...{text[-30:]}'


def _where(error: BaseException, config: dict) -> str | None:
    """Returns the config key whose value was being used, or that the first training step fails, or None."""
    frames = _frames(error)
    key, node = '', config
    for frame in frames:
        name = _BUILDERS.get(frame.f_code.co_name)
        if name is not None and name in frame.f_locals:
            found = _find(node, frame.f_locals[name], key)
            if found is not None:
                key, node = found
        elif not key:
            key = _STEPS.get(frame.f_code.co_name, '')
            node = config.get(key, config)
    if key:
        kind = f' ({node["type"]})' if isinstance(node, dict) and 'type' in node else ''
        return f'config key {key}{kind} fails'
    loops = [frame.f_locals['self'] for frame in frames if isinstance(frame.f_locals.get('self'), BaseLoop)]
    if loops and getattr(loops[-1], '_iter', None) == 0:
        return 'the first training step fails; check model and the sizes in train_dataloader'
    if any(frame.f_code.co_name == '__init__' and isinstance(frame.f_locals.get('self'), Runner) for frame in frames):
        return 'the run cannot be built from its config'
    return None


def _frames(error: BaseException) -> list[FrameType]:
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _find(node: Any, value: Any, key: str) -> tuple[str, Any] | None:
    """Returns the part of a config that was passed to a builder; keys may have been added or removed since."""
    nodes = [(key, node), *_parts(node, key)]
    for part in nodes:
        if part[1] == value:
            return part
    if not isinstance(value, dict):
        return None
    alike = [part for part in nodes if isinstance(part[1], dict) and part[1].get('type') == value.get('type')]
    return max(alike, key=lambda part: sum(value.get(k) == v for k, v in part[1].items()), default=None)


def _parts(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    for name, item in items:
        part = f'{key}.{name}' if key else str(name)
        yield part, item
        yield from _parts(item, part)
