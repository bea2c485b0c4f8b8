"""Tests mutated files and configs: each must end in success or a one-line error, in time, and within its folder.

    python tools/reliability/fuzz.py annotations --trials 20000
    python tools/reliability/fuzz.py weights --trials 2000
    python tools/reliability/fuzz.py configs --trials 500

Prints how the trials ended, with the most frequent messages, and keeps failures in OUT/failures. The exit code is 1 if
any trial failed. The same seed draws the same mutations; torch does not write the same bytes every time.
"""

import argparse
import pickle
import shutil
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdecouple.commands import options
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import positive
from mmdecouple.utils.files import check_writable, write_bytes, write_json

# Kind of input -> module in this folder, default number of trials, trials per child process, whether trials may start
# programs.
CAMPAIGNS = {
    'annotations': ('annotation_files', 20_000, 500, False),
    'weights': ('weight_files', 2000, 20, False),
    'configs': ('overrides', 500, 1, True),
}


def parser() -> options.Parser:
    parser = options.Parser(__doc__)
    parser.add_argument('what', choices=CAMPAIGNS, help='kind of input to mutate')
    parser.add_argument('--trials', type=positive, metavar='N', help='number of trials (default: 20000, 2000, 500)')
    options.add_seed(parser, 'the mutations')
    options.add_seconds(parser, 20, 'a trial')
    options.add_out(parser, 'work_dirs/fuzz', 'the trials and their failures')
    return parser


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    return parser().parse_args(words)


def main(words: list[str] | None = None) -> int:
    args = parse_args(words)
    with program():
        out = args.out.resolve() / args.what
        check_writable(out / 'counts.json')
        return campaign(args, out)


def campaign(args: argparse.Namespace, out: Path) -> int:
    """Runs the trials, prints and writes their counts, and returns the exit code."""
    # Imported here, because the child processes inherit these modules, and --help does not use them.
    import torch
    from trial_process import FAILURES
    from trials import run_trials

    torch.set_num_threads(1)
    shutil.rmtree(out / 'failures', ignore_errors=True)
    module, default, batch, may_start = CAMPAIGNS[args.what]
    count = args.trials or default
    call, payloads = import_module(module).trials(count, args.seed, out / 'work')
    kinds, lines, slowest = Counter(), Counter(), 0.0
    for number, (payload, outcome) in enumerate(
        track(
            run_trials(call, payloads, out / 'work', args.seconds, batch, may_start),
            args.what,
            count,
            console=Console(stderr=True),
        )
    ):
        kinds[outcome.kind] += 1
        slowest = max(slowest, outcome.seconds)
        if outcome.kind == 'refused':
            lines[' '.join(word for word in outcome.message.split() if word.isalpha())[:70]] += 1
        if outcome.kind in FAILURES:
            write_bytes(out / 'failures' / f'{number:05}.pkl', pickle.dumps(payload))
            write_bytes(
                out / 'failures' / f'{number:05}.txt', f'{outcome.kind}\n{outcome.message}\n'.encode(errors='replace')
            )
    failed = sum(kinds[kind] for kind in FAILURES)
    write_json(
        out / 'counts.json',
        dict(
            what=args.what,
            seed=args.seed,
            trials=sum(kinds.values()),
            failed=failed,
            outcomes=dict(kinds),
            slowest_seconds=round(slowest, 2),
        ),
        indent=1,
    )
    table = Table('outcome', 'trials')
    for kind, number in kinds.most_common():
        table.add_row(kind, str(number))
    Console().print(table)
    print(f'{args.what}, seed {args.seed}: {sum(kinds.values())} trials, the slowest {slowest:.1f} s.')
    for line, number in lines.most_common(12):
        print(f'{number:6}  {line}')
    if failed:
        print(f'{failed} failed; they are in {out / "failures"}.')
    return int(failed > 0)


if __name__ == '__main__':
    sys.exit(main())
