"""Statements of a source file around given lines."""

import ast


def reached(tree: ast.AST, first: int, last: int) -> set[int]:
    """Returns the lines whose execution implies that a test depends on the given lines.

    In a function, these are the lines of the smallest statement around them (only its head if it has a body), in the
    body of a class those of the class, and otherwise all lines.
    """
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and first in _span(node)]
    if not in_function(tree, first):
        classes = [_span(node) for node in around if isinstance(node, ast.ClassDef)]
        return set(min(classes, key=len, default=range(1, 10**6)))
    heads = [
        range(node.lineno, max(node.body[0].lineno, node.lineno + 1))
        if isinstance(getattr(node, 'body', None), list)
        else _span(node)
        for node in around
    ]
    return set(min((head for head in heads if first in head), key=len, default=range(first, last + 1)))


def in_function(tree: ast.AST, line: int) -> bool:
    """Returns whether a line is in the body of a function."""
    return any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.body[0].lineno <= line <= node.end_lineno
        for node in ast.walk(tree)
    )


def _span(node: ast.stmt) -> range:
    return range(node.lineno, node.end_lineno + 1)
