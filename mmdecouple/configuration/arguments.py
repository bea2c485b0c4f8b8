"""What a class or function can be called with."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from torch import nn

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments(NamedTuple):
    """Names of keyword arguments, and whether others are taken too."""

    names: frozenset[str]
    others: bool


@cache
def arguments_of(called: Callable) -> Arguments:
    """Keyword arguments of a class or function.

    `**kwargs` that a constructor hands on to another one, and uses for nothing else, stand for the arguments of all its
    base classes.

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
        others = others or (rest is not None and not _is_handed_on(constructor, rest))
    return Arguments(names - {'self'}, others)


def _named(function: Callable) -> tuple[frozenset[str], str | None]:
    """Named arguments, and what the others are collected in."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        # A function written in C may not say what it takes.
        return frozenset(), 'kwargs'
    rest = next((p.name for p in parameters if p.kind == inspect.Parameter.VAR_KEYWORD), None)
    return frozenset(p.name for p in parameters if p.kind not in _VARIABLE), rest


def _is_handed_on(constructor: Callable, name: str) -> bool:
    """Whether a constructor uses its `**name` in calls of another constructor alone."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(constructor))))
    except (OSError, TypeError, SyntaxError):
        return False
    handed = {
        id(word.value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _is_constructor(call.func)
        for word in call.keywords
        if word.arg is None
    }
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    return bool(uses) and all(id(node) in handed for node in uses)


def _is_constructor(function: Any) -> bool:
    return isinstance(function, ast.Attribute) and function.attr == '__init__'
