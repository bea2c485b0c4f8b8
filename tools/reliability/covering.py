"""Index of the tests that run a statement."""

import ast
import re
import sqlite3
from collections import defaultdict
from pathlib import Path

from statements import in_function, reached

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
        within = reached(tree, *lines)
        found = [test for test, numbers in self._running(file).items() if numbers & within]
        if not in_function(tree, lines[0]):
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
