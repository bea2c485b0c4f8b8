"""Comparison of the variants of the step benchmark, each measured in a separate process."""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdecouple.utils.files import write_json

RESULTS = 'step.json'
PAIRS = [
    ('densecl-d', 'densecl'),
    ('densecl', 'mmpretrain'),
    ('ibot-d', 'ibot'),
    ('ibot-d-release', 'ibot'),
    ('ibot-mc-d', 'ibot-mc'),
    ('posttrain-d-gram', 'posttrain-d'),
    ('maskalign-d', 'maskalign'),
    ('maskalign-d-drop', 'maskalign'),
    ('soco-d', 'soco'),
    ('pixpro-d', 'pixpro'),
    ('plrc-d', 'plrc'),
    ('leopart-d', 'leopart'),
    ('neco-d', 'neco'),
    ('paka-d', 'paka'),
    ('resim-d', 'resim'),
    ('unirefiner-d', 'unirefiner'),
    ('ibot', 'official'),
    ('ibot-d', 'official'),
]
VARIANTS = list(dict.fromkeys(variant for pair in PAIRS for variant in reversed(pair)))


def compare(args: argparse.Namespace, program: str) -> None:
    """Measures all variants in turn, prints the ratios, and writes them if `args.out` is set.

    Args:
        args: Options of the benchmark.
        program: Path of the program that measures one variant with `--measure`.
    """
    pairs = [pair for pair in PAIRS if set(pair) <= set(args.variants)]
    rows: dict[str, list[dict]] = {variant: [] for variant in VARIANTS if any(variant in pair for pair in pairs)}
    for _ in track(range(args.rounds), 'rounds', console=Console(stderr=True)):
        for variant in rows:
            rows[variant].append(run_alone(variant, program))
    report = dict(
        settings={k: v for k, v in vars(args).items() if k not in ('out', 'measure')},
        rows=rows,
        ratios={f'{ours} / {other}': ratio(rows[ours], rows[other]) for ours, other in pairs},
    )
    show(report)
    if args.out:
        write_json(args.out / RESULTS, report, indent=1)


def run_alone(variant: str, program: str) -> dict[str, float]:
    """Measures a variant in a separate process, with the options of this one."""
    command = [sys.executable, program, *sys.argv[1:], '--measure', variant]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]
        raise SystemExit(f'step benchmark: {variant} failed: {reason}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def ratio(ours: Sequence[dict], other: Sequence[dict]) -> dict[str, float]:
    """Returns the medians over rounds of the ratios of seconds, memory and operations within a round."""
    return {
        key: statistics.median(a[key] / b[key] for a, b in zip(ours, other)) for key in ('seconds', 'peak_mib', 'tflop')
    }


def show(report: dict) -> None:
    """Prints a table of ratios and a table of variants."""
    ratios = Table('ratio', 'time', 'peak memory', 'FLOP share', 'time / FLOP share')
    for name, found in report['ratios'].items():
        figures = (found['seconds'], found['peak_mib'], found['tflop'], found['seconds'] / found['tflop'])
        ratios.add_row(name, *(f'{figure:.3f}' for figure in figures))
    columns = {
        'seconds': 's / step',
        'samples_per_second': 'samples / s',
        'peak_mib': 'peak MiB',
        'tflop': 'TFLOP / step',
        'mfu': 'MFU',
        'idle': 'GPU idle',
    }
    variants = Table('variant', *columns.values())
    for name, rounds in report['rows'].items():
        variants.add_row(
            name,
            *(f'{statistics.median(row[key] for row in rounds):.4g}' if key in rounds[0] else '-' for key in columns),
        )
    Console().print(ratios, variants)
