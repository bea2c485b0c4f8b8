"""Parts of the acceptance test on a GPU. A part is a generator of rows, and one line in `PARTS`."""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from gpu_colors import photometric_rows
from gpu_steps import compiled_steps, eager_steps

ROOT = Path(__file__).resolve().parents[2]
_CLOSE = 1e-4


class Part(NamedTuple):
    """One part.

    Attributes:
        run: Yields its rows, each with `name`, `passed`, `seconds` and, if useful, `values` and a `note`.
        seconds: Time limit on one GPU; on a CPU it is three times as long.
        what: Description for the help text.
    """

    run: Callable[[argparse.Namespace], Iterator[dict]]
    seconds: int
    what: str


def cuda_tests(args: argparse.Namespace) -> Iterator[dict]:
    """Runs the tests marked `cuda`; without a GPU they are only collected."""
    begin = time.perf_counter()
    files = [str(file) for file in sorted(ROOT.glob('tests/**/test_*.py')) if 'pytest.mark.cuda' in file.read_text()]
    command = [sys.executable, '-m', 'pytest', '-q', '-m', 'cuda', '-p', 'no:cacheprovider', '--no-header', *files]
    if args.device == 'cpu':
        command.append('--collect-only')
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = (done.stdout.strip() or done.stderr.strip() or 'no output').splitlines()
    found = {kind: int(count) for count, kind in re.findall(r'(\d+)(?:/\d+ tests)? (\w+)', lines[-1])}
    failures = [line for line in lines if line.startswith(('FAILED', 'ERROR'))]
    yield dict(
        name='cuda tests',
        passed=done.returncode == 0,
        seconds=time.perf_counter() - begin,
        values={kind: found[kind] for kind in ('passed', 'failed', 'skipped', 'collected') if kind in found},
        note='; '.join(failures)[:500] or ('' if done.returncode == 0 else lines[-1]),
    )


def measures(args: argparse.Namespace) -> Iterator[dict]:
    """Compares every metric of every measure on this device with the CPU, for two untrained networks."""
    from gpu_measures import NETWORKS, numbers_of

    for network in NETWORKS:
        begin = time.perf_counter()
        ours, expected = (numbers_of(network, device, args.tiny) for device in (args.device, 'cpu'))
        apart = {key: abs(ours[key] - value) for key, value in expected.items()}
        worst = max(apart, key=apart.__getitem__)
        yield dict(
            name=network,
            passed=ours.keys() == expected.keys() and apart[worst] <= _CLOSE,
            seconds=time.perf_counter() - begin,
            values=dict(metrics=len(expected), largest_difference=apart[worst]),
            note=f'largest difference in {worst}',
        )


def knn(args: argparse.Namespace) -> Iterator[dict]:
    """Times exact cosine neighbors; those of the first queries must be the ones found on the CPU."""
    from mmdecouple.evaluation.measures.knn import nearest

    queries, bank = (200, 2_000) if args.tiny else (10_000, 100_000)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(count, 384, generator=generator).to(args.device) for count in (queries, bank)]
    nearest(rows[0][:64], rows[1], 20, device=args.device)
    begin = time.perf_counter()
    _, found = nearest(*rows, 20, device=args.device)
    seconds = time.perf_counter() - begin
    _, expected = nearest(rows[0][:64].cpu(), rows[1].cpu(), 20)
    yield dict(
        name=f'20 neighbors of {queries:,} queries among {bank:,} rows',
        passed=torch.equal(found[:64], expected),
        seconds=seconds,
        values=dict(queries_per_second=queries / seconds),
    )


PARTS = {
    'tests': Part(cuda_tests, 60, 'tests marked cuda'),
    'measures': Part(measures, 60, 'numbers of all measures, compared with the CPU'),
    'knn': Part(knn, 30, 'exact nearest neighbors'),
    'photometric': Part(photometric_rows, 30, 'changes of colors on the device, compared with the loader'),
    'steps': Part(eager_steps, 140, 'training steps of all methods'),
    'compile': Part(compiled_steps, 200, 'compiled training steps, compared with eager ones'),
}
