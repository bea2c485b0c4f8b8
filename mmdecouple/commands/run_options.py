"""Options of the commands that start runs: their folder, their processes, precision and learning rate."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmdecouple.runs.launchers import Launch
from mmdecouple.utils.arguments import positive

_STARTS = ('none', 'pytorch', 'slurm')


def add_run_folder(parser: argparse.ArgumentParser, holds: str, default: str) -> None:
    """Adds `--out DIR` with the synonym `--work-dir`, the word of mim and mmdet, which the help names only.

    Args:
        parser: Parser of the command.
        holds: Description of the files in the folder.
        default: Description of the default, for the help; the value is None.
    """
    help = f'folder of {holds} (default: {default}); --work-dir, as mim and mmdet call it, is the same'
    parser.add_argument('--out', type=Path, metavar='DIR', help=help)
    # Without a default of its own, which would replace that of --out.
    parser.add_argument('--work-dir', dest='out', type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def add_launcher(parser: argparse.ArgumentParser, joins: bool = False) -> None:
    """Adds `--launcher`, `--gpus` and `--partition`, see `launch_of`.

    Args:
        parser: Parser of the command.
        joins: Whether the command can be started by a launcher, as one of its processes: `--launcher` without `--gpus`.
    """
    joined = '; without --gpus, the launcher has already started this process' if joins else ''
    parser.add_argument(
        '--launcher',
        choices=(*_STARTS, 'mpi') if joins else _STARTS,
        help=f'program that starts the processes: pytorch on this machine (the default of several), or slurm{joined}',
    )
    parser.add_argument('--gpus', type=positive, metavar='N', help='number of processes to start, one per GPU')
    parser.add_argument('--partition', metavar='NAME', help='partition of Slurm, for --launcher slurm with --gpus')
    if joins:
        # Versions of torch.distributed.launch pass different spellings.
        parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def launch_of(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Launch:
    """Returns how the processes of a command are to be started; a contradiction ends the program.

    Args:
        parser: Parser of the command.
        args: Parsed arguments of `add_launcher`.
    """
    gpus = args.gpus or 1
    launcher = args.launcher or ('pytorch' if gpus > 1 else 'none')
    if launcher == 'none' and gpus > 1:
        parser.error(f'--gpus {gpus} requires --launcher pytorch or slurm')
    if launcher == 'mpi':
        parser.error('--launcher mpi cannot start processes: use mpirun -np N without --gpus')
    if launcher == 'slurm' and not args.partition:
        parser.error('--launcher slurm requires --partition')
    return Launch(launcher, gpus, args.partition)


def start_processes(module: str, words: Sequence[str], launch: Launch) -> None:
    """Replaces this process by the launcher, which runs the command in several processes.

    Args:
        module: Module of the command.
        words: Arguments of the command, from which those of `add_launcher` are removed.
        launch: How the processes are started.
    """
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ('--launcher', '--gpus', '--partition'):
        own.add_argument(name)
    _, rest = own.parse_known_args(words)
    command = launch.command(module, rest, module.rpartition('.')[2])
    os.execvp(command[0], command)


def add_amp(parser: argparse.ArgumentParser) -> None:
    """Adds `--amp`, see `mmdecouple.runs.changes.use_amp`."""
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in mixed precision: keeps bf16 or fp16 of the config, otherwise bf16 (fp16 on GPUs without bf16)',
    )
