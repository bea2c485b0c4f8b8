"""Lookup of the class of a `type` in a config."""

from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec

import mmengine.registry as roots
from mmengine.registry import Registry

from mmdecouple.configuration.names import close_names, suggestion
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
"""Kind of a class -> mmengine's root registry of this kind (measures have no root registry)."""


def find(kind: str, name: str, scope: str) -> Callable | None:
    """Returns the class or function that mmengine finds for a name, or None.

    Args:
        kind: Key of `KINDS`.
        name: `ResNet`, `mmpretrain.ResNet`, or the dotted path of a class.
        scope: Scope in which a name without a scope is looked up first.
    """
    with suppress(ImportError):
        import_module(f'{scope}.registry')
    registry = KINDS[kind].children.get(scope, KINDS[kind])
    # mmengine tries to import an unknown name as the path of an object, which fails for names such as `../x`.
    with suppress(RuntimeError, TypeError, ValueError):
        found = registry.get(name)
        return found if callable(found) else None
    return None


def find_anywhere(first: str, name: str, scope: str, key: str) -> Callable | None:
    """Looks up a name among the masks, which have no registry, and in all registries, starting with kind `first`."""
    if name in MASKS:
        return MASKS[name]
    return next(filter(None, (find(kind, name, scope) for kind in dict.fromkeys([first, *KINDS]))), None)


def resolve(kind: str, name: str, scope: str, key: str) -> Callable:
    """Returns the class or function of a `type` in a config.

    Args:
        kind: Required kind of the class, a key of `KINDS`.
        name: The `type`.
        scope: Scope in which a name without a scope is looked up first.
        key: Config key of the `type`, for the error message.

    Raises:
        UserError: The name is unknown, or it is of another kind.
    """
    found = find(kind, name, scope)
    if found is None:
        other = next((another for another in KINDS if another != kind and find(another, name, scope)), None)
        if other:
            raise UserError(f'config key {key} must name a {kind}, but {shown(name)} is a {other}.')
        raise unknown_type(kind, name, scope, key)
    return found


def is_nearly_known(kind: str, name: str) -> bool:
    """Returns whether a name that is not registered is close to one that is."""
    return bool(get_close_matches(name, [known.rpartition('.')[2] for known in _names(kind)], 1, 0.85))


def unknown_type(kind: str, name: str, scope: str, key: str) -> UserError:
    """Returns the error for a `type` that is not registered."""
    package, dot, bare = name.rpartition('.')
    if dot and find_spec(package.partition('.')[0]) is None:
        return UserError(f'config key {key}: {shown(name)} cannot be found, because {package} is not installed.')
    # Names of the default scope are compared without their scope.
    known = {other.removeprefix(f'{scope}.'): other for other in _names(kind)}
    elsewhere = [other for other in sorted(known, reverse=True) if other.rpartition('.')[2] == bare]
    close = elsewhere or close_names(name, known) or close_names(bare, known)
    return UserError(
        f'config key {key}: there is no {kind} {shown(name)}{suggestion(close)}; if it is your own class, add its '
        'module to custom_imports.'
    )


def _names(kind: str) -> list[str]:
    """Returns all names of a kind, those of other packages with their scope."""
    children = [f'{scope}.{name}' for scope, registry in KINDS[kind].children.items() for name in registry.module_dict]
    return [*children, *KINDS[kind].module_dict, *MASKS, *MEASURES.module_dict]
