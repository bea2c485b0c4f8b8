"""Parsing the arguments of a tool as its own parser does, in this process and without running it."""

import argparse
import contextlib
import functools
import importlib
import importlib.util
import io
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import click

ROOT = Path(__file__).resolve().parents[2]


class WrongPage(Exception):
    """What is wrong with a command or a block of a page, in one line."""


class _Parsed(BaseException):
    """Ends a tool that parses in its `main`; not an `Exception`, so that the tool does not catch it."""


@functools.cache
def module_of(script: Path) -> ModuleType:
    if script.is_relative_to(ROOT / 'mmdecouple'):
        return importlib.import_module('.'.join(script.relative_to(ROOT).with_suffix('').parts))
    spec = importlib.util.spec_from_file_location(f'page_{script.parent.name}_{script.stem}', script)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    # Some tools import their neighbors.
    with mock.patch.object(sys, 'path', [str(script.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


def parse(script: Path, words: list[str]) -> argparse.Namespace:
    """The arguments of a Python tool.

    Raises:
        WrongPage: Its parser refuses them; the message is the parser's.
    """
    main = getattr(module_of(script), 'main', functools.partial(runpy.run_path, str(script), run_name='__main__'))
    read = getattr(module_of(script), 'parse_args', getattr(main, '__globals__', {}).get('parse_args'))
    original = argparse.ArgumentParser.parse_args

    def end(self, *args, **kwargs):
        raise _Parsed(original(self, *args, **kwargs))

    told, out = io.StringIO(), io.StringIO()
    try:
        with (
            mock.patch.object(sys, 'argv', [str(script), *words]),
            contextlib.redirect_stderr(told),
            contextlib.redirect_stdout(out),
        ):
            if read is not None:
                return read()
            with mock.patch.object(argparse.ArgumentParser, 'parse_args', end):
                if {'argparse', 'options'} & vars(module_of(script)).keys():
                    main()
    except _Parsed as parsed:
        return parsed.args[0]
    except SystemExit as stop:
        if stop.code:
            raise WrongPage((told.getvalue().strip() or str(stop.code)).splitlines()[-1]) from stop
        return argparse.Namespace()
    if words:
        raise WrongPage(f'{script.name} takes no arguments, got {" ".join(words)}')
    return argparse.Namespace()


def mim_arguments(verb: str, words: list[str]) -> dict[str, Any]:
    """The arguments of a verb of `mim`, by name; `other_args` are those that it hands on to a tool.

    Raises:
        WrongPage: There is no such verb, or it refuses the words.
    """
    try:
        command = importlib.import_module(f'mim.commands.{verb}').cli
        return command.make_context(verb, list(words)).params
    except ModuleNotFoundError as error:
        raise WrongPage(f'mim has no command {verb}') from error
    except click.ClickException as error:
        raise WrongPage(f'mim {verb}: {error.format_message()}') from error
