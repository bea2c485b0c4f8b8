"""Reports what is installed, what works, and the exact command that fixes what does not.

Pre-training is tested with two steps of a tiny network, including writing and reading its checkpoints. The exit code
is 0 if that works, otherwise 1.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.table import Table

from mmdecouple.commands.options import Parser
from mmdecouple.runs.abilities import ABILITIES, COMPILED_OPS, examine
from mmdecouple.utils.versions import REQUIRED, SUPPORTED, installed_versions
from mmdecouple.version import __version__


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options, of which there are none besides `--help`."""
    return Parser(__doc__).parse_args(argv)


def installed_table() -> Table:
    """Returns a table of installed and supported versions."""
    python = platform.python_version()
    table = Table(title=f'mmdecouple {__version__}, Python {python}, {platform.platform()}')
    for column in ('package', 'installed', 'supported', 'needed for'):
        table.add_column(column)
    for module, providers in installed_versions().items():
        installed = ', '.join(f'{name} {number}' for name, number in providers)
        purpose = 'pre-training' if module in REQUIRED else 'transfer'
        table.add_row(module, installed or '[red]missing[/red]', SUPPORTED[module], purpose)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parse_args(argv)
    console = Console()
    console.print(installed_table())
    with console.status('trying things out'), ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(examine, ABILITIES))
    table = Table(title='what works')
    for column in ('', 'ability', 'note'):
        table.add_column(column, overflow='fold')
    for ability, (works, note) in zip(ABILITIES, results):
        table.add_row('[green]yes[/green]' if works else '[red]no[/red]', ability.name, note)
    console.print(table)
    broken = [ability for ability, (works, _) in zip(ABILITIES, results) if not works]
    for ability in broken:
        waits = COMPILED_OPS in broken and ability.needs_ops
        after = f' (after {COMPILED_OPS.name})' if waits else ''
        console.print(f'to fix {ability.name}{after}: {ability.remedy}', markup=False, highlight=False, soft_wrap=True)
    sys.exit(0 if results[0][0] else 1)
