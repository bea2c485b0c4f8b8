"""Mutants of the package: drawing of places and of their mutations."""

import ast
import random
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from mmdecouple.utils.errors import UserError

# For the values that are compared here (small numbers, short strings, None), `is` is equivalent to `==`.
LEFT_OUT = re.compile(r'_(Eq|NotEq|Is|IsNot)_(Is|IsNot|Eq|NotEq)$')


class Mutant(NamedTuple):
    """Mutation of one place.

    Attributes:
        file: Path relative to the root of the checkout.
        lines: First and last line of the mutated code, from 1.
        operator: Name of an operator of `cosmic-ray`.
        occurrence: Index of the place among those of the operator in the file, from 0.
    """

    file: str
    lines: tuple[int, int]
    operator: str
    occurrence: int

    def __str__(self) -> str:
        return f'{self.file}:{self.lines[0]} {self.operator.removeprefix("core/")} #{self.occurrence}'


def sample(number: int, seed: int, rooms: list[str]) -> list[Mutant]:
    """Draws mutants of different places, the same for equal code and seed.

    Args:
        number: Number of mutants.
        seed: Seed of the sample.
        rooms: Folders of the package.

    Raises:
        UserError: There are fewer places.
    """
    from cosmic_ray.commands.init import _all_work_items

    files = sorted(path for room in rooms for path in Path('mmdecouple', room).rglob('*.py'))
    annotations = {str(path): _annotations(path.read_text()) for path in files}
    places = defaultdict(list)
    for item in _all_work_items(files, {}):
        spec = item.mutations[0]
        file, start, end = str(spec.module_path), tuple(spec.start_pos), tuple(spec.end_pos)
        kind = re.match(r'core/(Replace[A-Za-z]+Operator|\w+)', spec.operator_name)[1]
        inside = any(low <= start and end <= high for low, high in annotations[file])
        if not inside and not LEFT_OUT.search(spec.operator_name):
            places[file, start, end, kind].append(Mutant(file, (start[0], end[0]), spec.operator_name, spec.occurrence))
    if number > len(places):
        raise UserError(
            f'mutants: --mutants must be at most {len(places)}, the number of places to mutate, got {number}.'
        )
    draw = random.Random(seed)
    return [draw.choice(places[key]) for key in draw.sample(sorted(places), number)]


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Returns start and end of all type annotations, whose mutation has no effect or breaks the import."""
    parts = (getattr(node, name, None) for node in ast.walk(ast.parse(source)) for name in ('annotation', 'returns'))
    return [((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)) for part in parts if part]
