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
import json
import re
import sys
from collections import Counter
from importlib import import_module

from mutant_runs import try_mutants
from mutant_sampling import sample

from mmdecouple.commands import options
from mmdecouple.utils.arguments import positive
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


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    parser.add_argument('--mutants', type=positive, default=320, metavar='N', help='number of mutants (default: 320)')
    options.add_seed(parser, 'the sample')
    parser.add_argument(
        '--rooms',
        nargs='+',
        default=ROOMS,
        choices=ROOMS,
        metavar='ROOM',
        help=f'folders of the package (default: {" ".join(ROOMS)})',
    )
    parser.add_argument('--part', default='1/1', metavar='I/N', help='every N-th mutant from the I-th (default: 1/1)')
    parser.add_argument(
        '--coverage', default='.coverage', metavar='FILE', help='coverage data with contexts (default: .coverage)'
    )
    parser.add_argument(
        '--durations',
        default='durations.txt',
        metavar='FILE',
        help='output of pytest with durations (default: durations.txt)',
    )
    options.add_out(parser, 'work_dirs/mutants', 'the outcomes')
    parser.add_argument('--again', metavar='REGEX', help='repeat known mutants that contain this text in their name')
    return parser


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    return parser().parse_args(words)


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
    """Tries the mutants, prints those that no test noticed, and returns the exit code: 1 if there are any, else 0."""
    out = args.out
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
