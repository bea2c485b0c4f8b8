"""Tests that run a statement, and their execution in a fork of this process."""

import ast
import os
import re
import signal
import sqlite3
import sys
import time
from collections import defaultdict
from pathlib import Path

from mmdecouple.utils.errors import MissingFile

# Time limit of the tests of a mutant: a constant in seconds, plus a multiple of their usual duration.
_SLACK, _FACTOR = 90, 4
# Tests of defaults read signatures without running the classes.
_DECLARED = 'tests/test_published_settings.py'


class CoveringTests:
    """Index of tests by the lines that they run.

    Args:
        coverage: Data file of `coverage` with tests as contexts (`--cov-context=test`).
        durations: Output of pytest with `--durations=0`. Tests that failed in it are omitted, as they notice nothing.

    Raises:
        MissingFile: A file does not exist.
    """

    def __init__(self, coverage: str, durations: str) -> None:
        for file in (coverage, durations):
            if not Path(file).is_file():
                raise MissingFile(f'mutants: the file {file} does not exist; --help shows the command that creates it.')
        self.seconds = defaultdict(float)
        text = Path(durations).read_text()
        self._failing = set(re.findall(r'^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$', text, re.M))
        for line in text.splitlines():
            if match := re.match(r'([\d.]+)s (?:setup|call|teardown)\s+(\S.*)$', line):
                self.seconds[match[2]] += float(match[1])
        self._database = sqlite3.connect(f'file:{coverage}?mode=ro', uri=True)

    def of(self, file: str, lines: tuple[int, int], source: str) -> list[str]:
        """Returns the tests that run the statement around given lines; outside functions, any line of class or file.

        For a declaration, the tests that import its module are included. Tests whose names share more parts with the
        name of the file come first, and short tests before long ones.

        Args:
            file: Path of the file.
            lines: First and last line, from 1.
            source: Text of the file.
        """
        tree = ast.parse(source)
        within = _reached(tree, *lines)
        found = [test for test, numbers in self._running(file).items() if numbers & within]
        if not _in_function(tree, lines[0]):
            found += self._reading(file)
        parts = set(re.split(r'[/_.]', file)) - {'mmdecouple', 'py'}

        def rank(test: str) -> tuple[float, str]:
            shared = len(parts & set(re.split(r'[/_.:\[\]-]', test)))
            return self.seconds[test] / 2 - shared, test

        return sorted(set(found), key=rank)

    def _reading(self, file: str) -> list[str]:
        """Returns the tests that may read a declaration without running a line of its file."""
        module = file.removesuffix('.py').replace('/', '.')
        rows = self._database.execute("SELECT DISTINCT context FROM context WHERE context != ''")
        known = {row[0].rsplit('|', 1)[0] for row in rows} - self._failing
        texts = {path: Path(path).read_text() for path in {test.partition('::')[0] for test in known}}
        found = {path for path, text in texts.items() if module in text}
        if not self._running(file):
            found |= {path for path in texts if path.startswith(f'tests/test_{file.split("/")[1]}/')}
        # The file as a whole, because its tests run no line of the package and are therefore unknown.
        return [*(test for test in known if test.partition('::')[0] in found), _DECLARED]

    def limit(self, tests: list[str]) -> float:
        """Returns the time limit in seconds; tests that exceed it have noticed the mutant."""
        return _SLACK + _FACTOR * sum(self.seconds[test] for test in tests)

    def _running(self, file: str) -> dict[str, set[int]]:
        from coverage.numbits import numbits_to_nums

        found = defaultdict(set)
        for context, bits in self._database.execute(
            'SELECT context.context, line_bits.numbits FROM line_bits JOIN context ON context.id = context_id '
            'JOIN file ON file.id = file_id WHERE file.path LIKE ?',
            (f'%/{file}',),
        ):
            if context and context.rsplit('|', 1)[0] not in self._failing:
                found[context.rsplit('|', 1)[0]].update(numbits_to_nums(bits))
        return found


def run_forked(tests: list[str], limit: float, output: Path) -> tuple[str, str, float]:
    """Runs tests in a child process until the first failure.

    Args:
        tests: Test ids of pytest.
        limit: Time in seconds after which the child and its children are killed.
        output: File of their output.

    Returns:
        `noticed`, `survived` or `not run`; the line that names the failed test; the duration in seconds.
    """
    if not tests:
        return 'not run', '', 0.0
    started = time.monotonic()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _become_pytest(tests, output)
    while time.monotonic() < started + limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - started
            return ('survived', '', seconds) if code == 0 else ('noticed', _failure(output), seconds)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 'noticed', f'not done after {limit:.0f} s', limit


def _become_pytest(tests: list[str], output: Path) -> None:
    os.setsid()
    with output.open('w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        import pytest

        code = int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', '--no-header', '--tb=line', *tests]))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _failure(output: Path) -> str:
    lines = output.read_text(errors='replace').strip().splitlines() or ['']
    return next((line for line in lines if line.startswith(('FAILED', 'ERROR'))), lines[-1])[:300]


def _reached(tree: ast.AST, first: int, last: int) -> set[int]:
    """Returns the lines whose execution implies that a test depends on the given lines.

    In a function, these are the lines of the smallest statement around them (only its head if it has a body), in the
    body of a class those of the class, and otherwise all lines.
    """
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and first in _span(node)]
    if not _in_function(tree, first):
        classes = [_span(node) for node in around if isinstance(node, ast.ClassDef)]
        return set(min(classes, key=len, default=range(1, 10**6)))
    heads = [
        range(node.lineno, max(node.body[0].lineno, node.lineno + 1))
        if isinstance(getattr(node, 'body', None), list)
        else _span(node)
        for node in around
    ]
    return set(min((head for head in heads if first in head), key=len, default=range(first, last + 1)))


def _in_function(tree: ast.AST, line: int) -> bool:
    return any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.body[0].lineno <= line <= node.end_lineno
        for node in ast.walk(tree)
    )


def _span(node: ast.stmt) -> range:
    return range(node.lineno, node.end_lineno + 1)
