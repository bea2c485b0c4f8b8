"""A walk over the blocks of a config: each `type` is known, and each argument is one of its class."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from mmdecouple.configuration.arguments import arguments_of
from mmdecouple.configuration.names import close_names, meant
from mmdecouple.configuration.registries import find_anywhere, is_nearly_known, resolve, unknown_type
from mmdecouple.utils.errors import UserError, shown

# Blocks below a class of these are built as they stand.
STRICT = {'mmdecouple', 'mmengine'}
# Those below a class that derives from one of these are, with exceptions: functions beside the registries, keys that
# are taken out before. Only what is nearly the name of something known is refused there.
LENIENT = {'mmpretrain', 'mmdet', 'mmseg'}
# Blocks below any other class are its own affair.
WALKED = STRICT | LENIENT | {'mmcv'}
# What an argument of a class is called -> what the blocks in it are, where that is not what the class itself is.
KINDS_OF_ARGUMENTS = {
    'pipeline': 'transform',
    'transforms': 'transform',
    'measures': 'measure',
    'vis_backends': 'back end of a visualizer',
    'optimizer': 'optimizer',
    'backbone': 'model',
    'neck': 'model',
    'teacher': 'model',
    'predictor': 'model',
    'data_preprocessor': 'model',
    'decoupling': 'model',
}
# Layers, built by functions of mmcv that take keys out of these blocks.
LAYERS = ('norm_cfg', 'act_cfg', 'conv_cfg')
# `type` is a plain word in these.
FREE_ARGUMENTS = (*LAYERS, 'clip_grad', 'init_cfg', 'backend_args', 'metainfo')


class Blocks:
    """Checks blocks of a config that are built by registries.

    Args:
        scope: The config's `default_scope`.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope

    def check(self, block: Any, key: str, kind: str, default: str | None = None, extra: Iterable[str] = ()) -> None:
        """Checks a block and those inside it.

        Args:
            block: What stands there.
            key: Where, dotted.
            kind: What its class must be: a key of `registries.KINDS`.
            default: `type` where the block names none.
            extra: Keys that the builder takes out of the block.

        Raises:
            UserError: It is no block, its `type` is missing or unknown, or it has an unknown argument.
        """
        if not isinstance(block, dict):
            raise UserError(f'config key {key} must be a dict with a type (a {kind}), got {shown(block)}.')
        name = block.get('type', default)
        if name is None:
            raise UserError(
                f'config key {key} has no type: name the {kind} that it is; it has '
                f'{", ".join(map(str, block)) or "no keys"}.'
            )
        if not isinstance(name, str) and not callable(name):
            raise UserError(f'config key {key}.type must be the name of a {kind}, got {shown(name)}.')
        scope = block.get('_scope_', self.scope)
        called = resolve(kind, name, scope, f'{key}.type') if isinstance(name, str) else name
        self._inside(block, key, kind, called, scope, extra)

    def _inside(
        self,
        block: dict,
        key: str,
        kind: str,
        called: Callable,
        scope: str,
        extra: Iterable[str] = (),
        strict: bool = True,
    ) -> None:
        check_arguments(called, set(block) - {'type', '_scope_', *extra}, key, strict)
        packages = [part.__module__.partition('.')[0] for part in getattr(called, '__mro__', [called])]
        if packages[0] in WALKED:
            strict = packages[0] in STRICT and LENIENT.isdisjoint(packages)
            for name, value in block.items():
                if name in LAYERS and isinstance(value, dict) and isinstance(value.get('type'), str):
                    resolve('model', value['type'], value.get('_scope_', scope), f'{key}.{name}.type')
                elif name not in FREE_ARGUMENTS:
                    find = resolve if strict and name in KINDS_OF_ARGUMENTS else find_anywhere
                    self._nested(value, f'{key}.{name}', KINDS_OF_ARGUMENTS.get(name, kind), scope, strict, find)

    def _nested(self, value: Any, key: str, kind: str, scope: str, strict: bool, find: Callable) -> None:
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                self._nested(item, f'{key}.{index}', kind, scope, strict, find)
        elif isinstance(value, dict):
            name = value.get('type')
            if isinstance(name, str):
                inner = value.get('_scope_', scope)
                called = find(kind, name, inner, f'{key}.type')
                if called is not None:
                    self._inside(value, key, kind, called, inner, strict=strict)
                elif strict or is_nearly_known(kind, name):
                    raise unknown_type(kind, name, inner, f'{key}.type')
            elif strict and 'type' in value and not callable(name):
                raise UserError(f'config key {key}.type must be the name of a class, got {shown(name)}.')
            else:
                for word, item in value.items():
                    if word not in FREE_ARGUMENTS:
                        self._nested(item, f'{key}.{word}', kind, scope, strict, find)


def check_arguments(called: Callable, given: Iterable[str], key: str, strict: bool = True) -> None:
    """Refuses arguments that a class or function does not have.

    Args:
        called: Class or function.
        given: Names.
        key: Block that they stand in.
        strict: Whether to refuse all of them, or only what is nearly one of its arguments.
    """
    known, others = arguments_of(called)
    # How near a name must be: some constructors read their other arguments themselves.
    nearness = (0.7 if others else 0.0) if strict else (1.0 if others else 0.85)
    for name in sorted(set(given) - known, key=str):
        if nearness == 0.0 or get_close_matches(str(name), known, 1, nearness):
            close = meant(close_names(str(name), known), known)
            raise UserError(f'config key {key}.{name}: {called.__name__} has no argument {name}{close}.')
