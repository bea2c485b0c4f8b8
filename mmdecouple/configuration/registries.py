"""Which class a `type` of a config means."""

from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec

import mmengine.registry as roots
from mmengine.registry import Registry

from mmdecouple.configuration.names import close_names, meant
from mmdecouple.masks.samplers import MASKS
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError, shown

KINDS: dict[str, Registry] = {
    'model': roots.MODELS,
    'part of a task': roots.TASK_UTILS,
    'data set': roots.DATASETS,
    'transform': roots.TRANSFORMS,
    'sampler': roots.DATA_SAMPLERS,
    'function': roots.FUNCTIONS,
    'measure': MEASURES,
    'hook': roots.HOOKS,
    'loop': roots.LOOPS,
    'runner': roots.RUNNERS,
    'optimizer': roots.OPTIMIZERS,
    'optimizer wrapper': roots.OPTIM_WRAPPERS,
    'constructor of optimizer wrappers': roots.OPTIM_WRAPPER_CONSTRUCTORS,
    'scheduler': roots.PARAM_SCHEDULERS,
    'metric': roots.METRICS,
    'evaluator': roots.EVALUATOR,
    'initializer': roots.WEIGHT_INITIALIZERS,
    'visualizer': roots.VISUALIZERS,
    'back end of a visualizer': roots.VISBACKENDS,
    'log processor': roots.LOG_PROCESSORS,
    'wrapper of models': roots.MODEL_WRAPPERS,
}
"""What a class is -> mmengine's root registry of such classes (the measures have none above ours)."""


def find(kind: str, name: str, scope: str) -> Callable | None:
    """What a name means to a registry, as mmengine looks it up, or None.

    Args:
        kind: Key of `KINDS`.
        name: `ResNet`, `mmpretrain.ResNet`, or the dotted path of a class.
        scope: Where a name without a scope is looked up first.
    """
    with suppress(ImportError):
        import_module(f'{scope}.registry')
    registry = KINDS[kind].children.get(scope, KINDS[kind])
    # mmengine takes what it does not know for the path of an object, and imports that: `../x` is no path of one.
    with suppress(RuntimeError, TypeError, ValueError):
        found = registry.get(name)
        return found if callable(found) else None
    return None


def find_anywhere(first: str, name: str, scope: str, key: str) -> Callable | None:
    """The same in all registries, beginning with one; a mask is in none of them. Arguments as for `resolve`."""
    if name in MASKS:
        return MASKS[name]
    return next(filter(None, (find(kind, name, scope) for kind in dict.fromkeys([first, *KINDS]))), None)


def resolve(kind: str, name: str, scope: str, key: str) -> Callable:
    """What the `type` at a place means.

    Args:
        kind: What the class there must be.
        name: The `type`.
        scope: Where a name without a scope is looked up first.
        key: Of the `type`, for the message.

    Raises:
        UserError: It is unknown, or something else than the place takes.
    """
    found = find(kind, name, scope)
    if found is None:
        other = next((which for which in KINDS if which != kind and find(which, name, scope)), None)
        if other:
            raise UserError(f'config key {key} must name a {kind}, but {shown(name)} is a {other}.')
        raise unknown_type(kind, name, scope, key)
    return found


def is_nearly_known(kind: str, name: str) -> bool:
    """Whether a name that is not registered is nearly one that is."""
    return bool(get_close_matches(name, [known.rpartition('.')[2] for known in _names(kind)], 1, 0.85))


def unknown_type(kind: str, name: str, scope: str, key: str) -> UserError:
    """The error for a `type` that nothing is registered under."""
    package, dot, bare = name.rpartition('.')
    if dot and find_spec(package.partition('.')[0]) is None:
        return UserError(f'config key {key}: {shown(name)} cannot be found, because {package} is not installed.')
    # The same class counts as nearest under the name that is written here without a scope.
    known = {other.removeprefix(f'{scope}.'): other for other in _names(kind)}
    elsewhere = [other for other in sorted(known, reverse=True) if other.rpartition('.')[2] == bare]
    close = elsewhere or close_names(name, known) or close_names(bare, known)
    return UserError(
        f'config key {key}: there is no {kind} {shown(name)}{meant(close)}; if it is yours, name its '
        'module in custom_imports.'
    )


def _names(kind: str) -> list[str]:
    """All names of a kind, those of other packages with their scope."""
    children = [f'{scope}.{name}' for scope, registry in KINDS[kind].children.items() for name in registry.module_dict]
    return [*children, *KINDS[kind].module_dict, *MASKS, *MEASURES.module_dict]
