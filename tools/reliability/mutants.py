"""Changes the package in one place at a time and counts how many of these mutants the tests detect.

    pip install cosmic-ray pytest-cov
    OMP_NUM_THREADS=1 pytest -n 2 --cov=mmdecouple --cov-context=test --cov-report= --durations=0 > durations.txt
    OMP_NUM_THREADS=1 python tools/reliability/mutants.py --mutants 320 --seed 0

The mutants are written to the files of the checkout and reverted: use a clone that nothing else reads. A place is
drawn first and then one of the mutations that `cosmic-ray` offers for it, so that an expression with eleven of them
counts once. A mutant is tested with the tests that run its statement, until one of them fails; the undetected ones are
printed at the end. Outcomes are appended to OUT/seed_N.jsonl, and a second start continues from there. `--part 1/2`
and `--part 2/2` divide the work between two clones.
"""

import argparse
import ast
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from mmdecouple.utils.arguments import positive, whole
from mmdecouple.utils.errors import UserError, WrongInstallation, one_line_errors

ROOMS = (
    'masks',
    'decoupling',
    'models',
    'networks',
    'evaluation',
    'engine',
    'datasets/transforms',
    'downstream',
    'weights',
)
# `is` equals `==` for what is compared here: small numbers, short words, None.
LEFT_OUT = re.compile(r'_(Eq|NotEq|Is|IsNot)_(Is|IsNot|Eq|NotEq)$')
# Imported before the first mutant: every run of tests is a fork of this process. None of them imports the package.
PRELOADED = (
    'torch',
    'torchvision',
    'mmengine.runner',
    'mmcv.ops',
    'mmpretrain.models',
    'mmdet.models',
    'mmseg.models',
    'sklearn.cluster',
    'matplotlib.pyplot',
    'scipy.optimize',
    'skimage.segmentation',
    'timm',
    'hypothesis',
    'safetensors.torch',
    'torch.utils.tensorboard',
    'pycocotools.coco',
)


class Mutant(NamedTuple):
    """One mutation.

    Attributes:
        file: Path from the root of the checkout.
        lines: First and last line of what is mutated, from 1.
        operator: Name of `cosmic-ray`'s operator.
        occurrence: Which of the operator's places in the file, from 0.
    """

    file: str
    lines: tuple[int, int]
    operator: str
    occurrence: int

    def __str__(self) -> str:
        return f'{self.file}:{self.lines[0]} {self.operator.removeprefix("core/")} #{self.occurrence}'


def sample(number: int, seed: int, rooms: list[str]) -> list[Mutant]:
    """Mutants of different places in folders of the package; the same for the same code and seed.

    Raises:
        ValueError: If there are fewer places.
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
    """Begin and end of all annotations of types: mutating one changes nothing, or ends the import."""
    parts = (getattr(node, name, None) for node in ast.walk(ast.parse(source)) for name in ('annotation', 'returns'))
    return [((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)) for part in parts if part]


def try_mutants(
    mutants: list[Mutant], known: dict[str, dict], coverage: str, durations: str, out: Path
) -> Iterator[dict]:
    """Rows of the mutants that are not known yet: what was changed, how it ended, and by which test."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator
    from covering import CoveringTests, run_forked

    tests = CoveringTests(coverage, durations)
    for name in PRELOADED:
        import_module(name)
    for mutant in mutants:
        if str(mutant) in known:
            continue
        path = Path(mutant.file)
        source = path.read_text()
        mutated = mutate_code(source, get_operator(mutant.operator)(), mutant.occurrence)
        selected = tests.of(mutant.file, mutant.lines, source)
        try:
            path.write_text(mutated)
            outcome, told, seconds = run_forked(selected, tests.limit(selected), out / 'output.txt')
        finally:
            path.write_text(source)
        yield dict(
            mutant=str(mutant),
            before=_changed(source, mutated),
            after=_changed(mutated, source),
            tests=len(selected),
            outcome=outcome,
            told=told,
            seconds=round(seconds, 1),
        )


def _changed(one: str, other: str) -> str:
    """The first line of one text that differs from the other's."""
    return next((line.strip() for line, twin in zip(one.splitlines(), other.splitlines()) if line != twin), '')


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mutants', type=positive, default=320, help='number of mutants (default: 320)')
    parser.add_argument('--seed', type=whole, default=0, help='seed of the sample (default: 0)')
    parser.add_argument(
        '--rooms',
        nargs='+',
        default=ROOMS,
        choices=ROOMS,
        metavar='ROOM',
        help=f'folders of the package (default: {" ".join(ROOMS)})',
    )
    parser.add_argument('--part', default='1/1', metavar='I/N', help='every N-th mutant from the I-th (default: 1/1)')
    parser.add_argument('--coverage', default='.coverage', help='coverage data with contexts (default: .coverage)')
    parser.add_argument(
        '--durations', default='durations.txt', help='output of pytest with durations (default: durations.txt)'
    )
    parser.add_argument('--out', default='work_dirs/mutants', help='folder of the outcomes')
    parser.add_argument('--again', metavar='REGEX', help='repeat known mutants that contain this text in their name')
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    args = parse_args(words)
    with one_line_errors():
        try:
            import_module('cosmic_ray'), import_module('coverage')
        except ImportError as error:
            raise WrongInstallation('mutants: install the tools: pip install cosmic-ray pytest-cov') from error
        part = re.fullmatch(r'([1-9]\d*)/([1-9]\d*)', args.part)
        if not part or int(part[1]) > int(part[2]):
            raise UserError(f'mutants: --part must be I/N with I from 1 to N, got {args.part}')
        return campaign(args, int(part[1]), int(part[2]))


def campaign(args: argparse.Namespace, part: int, parts: int) -> int:
    """Tries the mutants and prints those that no test noticed; the exit code is 1 if there are some."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    store = out / f'seed_{args.seed}{f"_part_{part}" if parts > 1 else ""}.jsonl'
    mutants = sample(args.mutants, args.seed, args.rooms)[part - 1 :: parts]
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    known = {row['mutant']: row for row in rows if not (args.again and re.search(args.again, row['mutant']))}
    for row in try_mutants(mutants, known, args.coverage, args.durations, out):
        known[row['mutant']] = row
        with store.open('a') as file:
            file.write(json.dumps(row) + '\n')
        print(f'{len(known)}/{len(mutants)} {row["outcome"]} {row["seconds"]} s {row["mutant"]}', flush=True)
    missed = [row for row in known.values() if row['outcome'] != 'noticed']
    for row in missed:
        print(f'\n{row["outcome"]}, {row["tests"]} tests: {row["mutant"]}\n- {row["before"]}\n+ {row["after"]}')
    print(dict(Counter(row['outcome'] for row in known.values())))
    return int(bool(missed))


if __name__ == '__main__':
    sys.exit(main())
