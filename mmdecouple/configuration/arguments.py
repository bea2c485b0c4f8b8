"""Keyword arguments of classes and functions."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from torch import nn

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments(NamedTuple):
    """Keyword arguments of a class or function.

    Attributes:
        names: Names of the arguments.
        others: Whether further arguments are accepted.
    """

    names: frozenset[str]
    others: bool


@cache
def arguments_of(called: Callable) -> Arguments:
    """Returns the keyword arguments of a class or function.

    `**kwargs` that a constructor only passes to another constructor stand for the arguments of all base classes.

    Args:
        called: Class or function.
    """
    if not inspect.isclass(called):
        names, rest = _named(called)
        return Arguments(names, rest is not None)
    constructors = [
        vars(part)['__init__']
        for part in called.__mro__
        if part not in (nn.Module, object) and '__init__' in vars(part)
    ]
    names: frozenset[str] = frozenset()
    others = False
    for constructor in constructors:
        own, rest = _named(constructor)
        names |= own
        if rest is None and constructor is constructors[0]:
            break
        others = others or (rest is not None and not _is_passed_on(constructor, rest))
    return Arguments(names - {'self'}, others)


def _named(function: Callable) -> tuple[frozenset[str], str | None]:
    """Returns the names of the arguments, and the name of the `**kwargs` or None."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        # A function written in C may have no signature.
        return frozenset(), 'kwargs'
    rest = next((p.name for p in parameters if p.kind == inspect.Parameter.VAR_KEYWORD), None)
    return frozenset(p.name for p in parameters if p.kind not in _VARIABLE), rest


def _is_passed_on(constructor: Callable, name: str) -> bool:
    """Returns whether a constructor uses its `**name` only in calls of another constructor."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(constructor))))
    except (OSError, TypeError, SyntaxError):
        return False
    passed = {
        id(keyword.value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _is_constructor(call.func)
        for keyword in call.keywords
        if keyword.arg is None
    }
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    return bool(uses) and all(id(node) in passed for node in uses)


def _is_constructor(function: Any) -> bool:
    return isinstance(function, ast.Attribute) and function.attr == '__init__'
