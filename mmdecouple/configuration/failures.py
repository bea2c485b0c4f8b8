"""What others say about a value of a config, as one line with its key."""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb
from types import FrameType
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import BaseLoop, Runner

from mmdecouple.utils.errors import UserError, user_message

# Methods of mmengine's runner -> config key that they read.
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
# Functions that build what a dict says -> their name for it.
_BUILDERS = {'build_from_cfg': 'cfg', 'build_dataloader': 'dataloader'}
# Mistakes of whoever wrote the code, and limits of the machine.
_NOT_OF_A_CONFIG = (NameError, NotImplementedError, SyntaxError, RecursionError, MemoryError, torch.OutOfMemoryError)


@contextmanager
def answering(config: Config) -> Iterator[None]:
    """Turns what fails while a run is built from a config, or at its first step, into a `UserError` that names the key.

    Later errors pass as they are, and so do those that no value of a config causes. The traceback is kept as the cause.

    Args:
        config: Of the run.
    """
    try:
        yield
    except Exception as error:
        if user_message(error) is not None or isinstance(error, _NOT_OF_A_CONFIG):
            raise
        where = _where(error, config.to_dict())
        if where is None:
            raise
        # An assertion without a text is told by its line of code.
        reason = next(iter(str(error).strip().splitlines()), '') or extract_tb(error.__traceback__)[-1].line or ''
        raise UserError(
            f'{where}: {type(error).__name__}: {_shortened(reason)} (MMDECOUPLE_TRACEBACK=1 shows where).'
        ) from error


def _shortened(text: str, max_length: int = 140) -> str:
    return text if len(text) <= max_length else f'{text[: max_length - 33]}...{text[-30:]}'


def _where(error: BaseException, config: dict) -> str | None:
    """The key whose value was at work, or `the first training step`; None for neither."""
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
        return f'config key {key}{kind} does not work'
    loops = [frame.f_locals['self'] for frame in frames if isinstance(frame.f_locals.get('self'), BaseLoop)]
    if loops and getattr(loops[-1], '_iter', None) == 0:
        return 'the first training step fails, check model and the sizes in train_dataloader'
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
    """The part of a config that a builder was given, which may have lost or gained keys on its way."""
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
