"""Check of the blocks of a config: each `type` must be known, and each argument must belong to its class."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from mmdecouple.configuration.arguments import arguments_of
from mmdecouple.configuration.names import close_names, suggestion
from mmdecouple.configuration.registries import find_anywhere, is_nearly_known, resolve, unknown_type
from mmdecouple.utils.errors import UserError, shown

# Packages whose classes build nested blocks as they are, so that every unknown name is an error.
STRICT = {'mmdecouple', 'mmengine'}
# Packages whose classes, and classes derived from them, also use functions outside of the registries, or remove keys
# before they build a block. Only names that are close to a known one are errors there.
LENIENT = {'mmpretrain', 'mmdet', 'mmseg'}
# Packages whose nested blocks are checked.
WALKED = STRICT | LENIENT | {'mmcv'}
# Argument of a class -> kind of the blocks in it, where it differs from the kind of the class.
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
# Layers, built by functions of mmcv that remove keys from these blocks.
LAYERS = ('norm_cfg', 'act_cfg', 'conv_cfg')
# Arguments in which `type` is not the name of a class.
FREE_ARGUMENTS = (*LAYERS, 'clip_grad', 'init_cfg', 'backend_args', 'metainfo')


class Blocks:
    """Checks blocks of a config that registries build.

    Args:
        scope: `default_scope` of the config.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope

    def check(self, block: Any, key: str, kind: str, default: str | None = None, extra: Iterable[str] = ()) -> None:
        """Checks a block and the blocks inside it.

        Args:
            block: Value in the config.
            key: Dotted config key of the block.
            kind: Required kind of the class, a key of `registries.KINDS`.
            default: `type` if the block has none.
            extra: Keys that the builder removes from the block.

        Raises:
            UserError: The value is not a dict, its `type` is missing or unknown, or an argument is unknown.
        """
        if not isinstance(block, dict):
            raise UserError(f'config key {key} must be a dict with a type (a {kind}), got {shown(block)}.')
        name = block.get('type', default)
        if name is None:
            raise UserError(
                f'config key {key} has no type: set type to the name of a {kind}; it has '
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
                for name, item in value.items():
                    if name not in FREE_ARGUMENTS:
                        self._nested(item, f'{key}.{name}', kind, scope, strict, find)


def check_arguments(called: Callable, given: Iterable[str], key: str, strict: bool = True) -> None:
    """Raises an error for arguments that a class or function does not have.

    Args:
        called: Class or function.
        given: Names of the arguments.
        key: Config key of the block that contains them.
        strict: Whether all unknown names are errors, or only those close to the name of an argument.

    Raises:
        UserError: An argument is unknown; the message names its config key and close names.
    """
    known, others = arguments_of(called)
    # Minimum similarity to a known name; some constructors read further arguments from their `**kwargs`.
    nearness = (0.7 if others else 0.0) if strict else (1.0 if others else 0.85)
    for name in sorted(set(given) - known, key=str):
        if nearness == 0.0 or get_close_matches(str(name), known, 1, nearness):
            close = suggestion(close_names(str(name), known), known)
            raise UserError(f'config key {key}.{name}: {called.__name__} has no argument {name}{close}.')
