"""What a class or function can be called with."""
import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import nn

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@cache
def arguments_of(called: Callable) -> frozenset[str] | None:
    """Names of the keyword arguments of a class or function; None if it takes any.

    `**kwargs` that a constructor hands on to another one, and uses for nothing else, stand for the arguments of all its
    base classes.

    Args:
        called: Class or function.
    """
    if not inspect.isclass(called):
        return _named(called)[0] if _takes_names(called) else None
    constructors = [vars(part)['__init__'] for part in called.__mro__
                    if part not in (nn.Module, object) and '__init__' in vars(part)]
    names: frozenset[str] = frozenset()
    for constructor in constructors:
        own, rest = _named(constructor)
        names |= own
        if rest is None and constructor is constructors[0]:
            break
        if rest is not None and not _is_handed_on(constructor, rest):
            return None
    return names - {'self'}


def _takes_names(function: Callable) -> bool:
    try:
        return _named(function)[1] is None
    except (TypeError, ValueError):
        return False


def _named(function: Callable) -> tuple[frozenset[str], str | None]:
    """Named arguments, and what the others are collected in."""
    parameters = inspect.signature(function).parameters.values()
    rest = next((p.name for p in parameters if p.kind == inspect.Parameter.VAR_KEYWORD), None)
    return frozenset(p.name for p in parameters if p.kind not in _VARIABLE), rest


def _is_handed_on(constructor: Callable, name: str) -> bool:
    """Whether a constructor uses its `**name` in calls of another constructor alone."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(constructor))))
    except (OSError, TypeError, SyntaxError):
        return False
    handed = {id(word.value) for call in ast.walk(tree) if isinstance(call, ast.Call) and _is_constructor(call.func)
              for word in call.keywords if word.arg is None}
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    return bool(uses) and all(id(node) in handed for node in uses)


def _is_constructor(function: Any) -> bool:
    return isinstance(function, ast.Attribute) and function.attr == '__init__'
