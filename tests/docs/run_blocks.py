"""Running the Python of a page: programs in one namespace, in order; configs are loaded, checked and built."""

import ast
import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.registry import Registry

from mmdecouple import registry
from mmdecouple.configuration import check_config
from mmdecouple.configuration.values import ROOT_KEYS
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

from .check_commands import CONFIGS
from .shell import blocks
from .tools import WrongPage


@contextmanager
def page_run(text: str, folder: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Runs the `python` blocks of a page; what they register stays until the context ends.

    A block whose first line is a comment with a file name is written to that file, so that later blocks can import it.

    Args:
        text: The page.
        folder: Empty; the working folder of the blocks.

    Yields:
        What is wrong, in one line each, and the names of the files.
    """
    found, names, before = [], [], os.getcwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        namespace: dict[str, Any] = {'__name__': 'page'}
        for line, code in blocks(text, 'python', 'py'):
            name = re.match(r'# (\w+\.py)\b', code)
            names += [name[1]] if name else []
            try:
                _run(code, line, folder / (name[1] if name else f'block_{line}.py'), bool(name), namespace)
            except Exception as error:
                found.append(f'line {line}: {type(error).__name__}: {error}')
        yield found, names
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
        _forget({Path(name).stem for name in names})


def _run(code: str, line: int, path: Path, is_named: bool, namespace: dict[str, Any]) -> None:
    tree = ast.parse(code)
    if _is_config(tree):
        path.write_text(_with_absolute_bases(code))
        config = load_config(str(path))
        check_config(config)
        MODELS.build(config.model)
    elif is_named:
        path.write_text(code)
        importlib.invalidate_caches()
        sys.modules.pop(path.stem, None)
        namespace.update(vars(importlib.import_module(path.stem)))
    else:
        exec(compile('\n' * (line - 1) + code, str(path), 'exec'), namespace)


def _is_config(tree: ast.Module) -> bool:
    """Whether a block is a config file, or a part of one: it has bases, or assigns nothing but what a run reads."""
    if any(isinstance(node, ast.Name) and node.id == '_base_' for node in ast.walk(tree)):
        return True
    targets = [ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else '' for node in tree.body]
    return bool(targets) and set(targets) <= set(ROOT_KEYS)


def _with_absolute_bases(code: str) -> str:
    """A config of `configs/`, made to find its bases from another folder."""
    relative = re.findall(r"'(\.\.?/[\w./-]+\.py)'", code)
    homes = [home for home in CONFIGS.iterdir() if all((home / name).is_file() for name in relative)]
    if relative and not homes:
        raise WrongPage(f'no folder of configs/ has {" and ".join(relative)}')
    for name in relative:
        code = code.replace(f"'{name}'", repr(str((homes[0] / name).resolve())))
    return code


def _forget(modules: set[str]) -> None:
    for one in vars(registry).values():
        if isinstance(one, Registry):
            for name, kind in list(one.module_dict.items()):
                if getattr(kind, '__module__', '') in modules:
                    del one.module_dict[name]
    for module in modules:
        sys.modules.pop(module, None)
