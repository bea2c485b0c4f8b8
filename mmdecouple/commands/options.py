"""Options that several commands share: one word for each idea, see `docs/commands.md`."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from mmdecouple.utils.arguments import positive, seed, whole
from mmdecouple.utils.data_spec import SPECS

# Former word -> today's word.
RENAMED = {
    '--dataset': '--data SPEC',
    '--images': '--data SPEC',
    '--ann': '--data SPEC',
    '--data-root': '--data SPEC',
    '--json': '--out DIR',
    '--markdown': '--out DIR',
    '--export': '--out DIR',
    '--root': '--out DIR',
    '--work-dir': '--out DIR',
    '--measured': '--role teacher or --role student',
    '--network': '--role teacher or --role student',
    '--batch': '--batch-size N',
}
NETWORKS = (
    'run folder, checkpoint, weight file of a published network, CONFIG.py (untrained), CONFIG.py=FILE, '
    'untrained:RUN_FOLDER, timm:NAME (untrained) or timm:NAME=FILE'
)
LAYER = (
    'layer whose plain output is read: a block of a ViT by number from 1 (the last one: without the final norm), a '
    'stage of a CNN by name, such as layer3 (default: the last, of a ViT after the final norm)'
)
DEVICES = ('auto', 'cpu', 'cuda')
TRUST = 'trust the files: run code that they hold or that the config stored in them imports'


class Parser(argparse.ArgumentParser):
    """Parser of a command: former words are answered with today's, and words cannot be abbreviated.

    Args:
        description: Help text, printed as it is written.
        renamed: Former words of this command -> today's, in addition to `RENAMED`.
    """

    def __init__(self, description: str | None = None, renamed: Mapping[str, str] | None = None) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        self.renamed = {**RENAMED, **(renamed or {})}

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):  # noqa: D102
        for word in sys.argv[1:] if args is None else args:
            name = word.partition('=')[0]
            if name in self.renamed and name not in self._option_string_actions:
                self._refuse_renamed(name)
        return super().parse_known_args(args, namespace)

    def _refuse_renamed(self, name: str) -> NoReturn:
        today = self.renamed[name]
        known = today.split()[0] in self._option_string_actions
        self.error(f'{name} is called {today} now' if known else f'this command has no option {name}')


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Adds the positional `NETWORK ...`, see `open_network`, `--names` and `--allow-pickle`."""
    parser.add_argument('networks', nargs='+', metavar='NETWORK', help=NETWORKS)
    parser.add_argument(
        '--names', nargs='+', metavar='NAME', help='names of the networks, in order (default: files and folders)'
    )
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)


def add_data(
    parser: argparse.ArgumentParser,
    kinds: Sequence[str],
    default: str | None,
    required: bool = False,
    several: bool = False,
) -> None:
    """Adds `--data SPEC`, kept as text; the command reads it with `read_spec`.

    Args:
        parser: Parser of the command.
        kinds: Kinds of data that the command can use, of `SPECS`.
        default: Description of the default; not used if the option is required.
        required: Whether there is no default.
        several: Whether several specifications may be given, which are kept as a list.
    """
    forms = ', '.join(SPECS[kind] for kind in kinds)
    shown = '' if required else f' (default: {default})'
    parser.add_argument(
        '--data', metavar='SPEC', required=required, nargs='+' if several else None, help=f'data: {forms}{shown}'
    )


def add_out(parser: argparse.ArgumentParser, default: str | None, holds: str, without: str | None = None) -> None:
    """Adds `--out DIR`.

    Args:
        parser: Parser of the command.
        default: Default folder; None if there is none.
        holds: Description of the files in the folder.
        without: What the command does without the option, which is then optional although it has no default.
    """
    shown = f' (default: {default or without})' if default or without else ''
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        default=None if default is None else Path(default),
        required=default is None and without is None,
        help=f'folder of {holds}{shown}',
    )


def add_role(parser: argparse.ArgumentParser) -> None:
    """Adds `--role`: the teacher or the student of a network that has both."""
    parser.add_argument(
        '--role', choices=('teacher', 'student'), help='network to use if a file has both (default: from the config)'
    )


def add_layer(parser: argparse.ArgumentParser) -> None:
    """Adds `--layer`."""
    parser.add_argument('--layer', metavar='LAYER', help=LAYER)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`."""
    parser.add_argument(
        '--device', choices=DEVICES, default='auto', help='device; auto takes CUDA if there is a GPU (default: auto)'
    )


def add_limit(parser: argparse.ArgumentParser, what: str, default: int | None = None) -> None:
    """Adds `--limit N`.

    Args:
        parser: Parser of the command.
        what: What is limited.
        default: Default; None for no limit.
    """
    shown = '' if default is None else f' (default: {default})'
    parser.add_argument('--limit', type=positive, metavar='N', default=default, help=f'maximum number of {what}{shown}')


def add_seed(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds `--seed N`, 0 by default.

    Args:
        parser: Parser of the command.
        what: What the seed determines.
    """
    parser.add_argument('--seed', type=seed, metavar='N', default=0, help=f'seed of {what} (default: 0)')


def add_workers(parser: argparse.ArgumentParser, what: str, default: int | None = 0) -> None:
    """Adds `--workers N`; with 0 the process itself does the work.

    Args:
        parser: Parser of the command.
        what: What the processes do.
        default: Default number of processes; None for the number of cores.
    """
    parser.add_argument(
        '--workers',
        type=whole,
        metavar='N',
        default=os.cpu_count() if default is None else default,
        help=f'number of processes that {what} (default: {"number of cores" if default is None else default})',
    )


def add_batch_size(parser: argparse.ArgumentParser, default: int, what: str = 'images') -> None:
    """Adds `--batch-size N`.

    Args:
        parser: Parser of the command.
        default: Default size.
        what: What is counted.
    """
    parser.add_argument(
        '--batch-size', type=positive, metavar='N', default=default, help=f'{what} per batch (default: {default})'
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Adds `--threads N`."""
    parser.add_argument('--threads', type=positive, metavar='N', help='threads of a process (default: those of torch)')


def add_seconds(
    parser: argparse.ArgumentParser, default: int, what: str, kind: Callable[[str], float] = positive
) -> None:
    """Adds `--seconds N`.

    Args:
        parser: Parser of the command.
        default: Default.
        what: What takes this time.
        kind: Type of the number.
    """
    parser.add_argument(
        '--seconds', type=kind, metavar='N', default=default, help=f'time in seconds for {what} (default: {default})'
    )
