"""Training without a config, from the options of the command line."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from mmdecouple.networks.trained import weight_file
from mmdecouple.runs.launch import choose_device
from mmdecouple.utils.data_spec import PICTURES, read_spec
from mmdecouple.utils.files import check_writable
from mmdecouple.utils.progress import in_words

from .choose import Request, choose
from .data import absolute, name_of
from .machine import this_machine
from .recipes import find_method
from .record import Record, read_record, write_record
from .timing import measure_speed


def train_chosen(args: argparse.Namespace, train: Callable[[argparse.Namespace], None]) -> None:
    """Chooses a config, or finds the one of an earlier start, prints the choices and trains.

    Args:
        args: Parsed arguments of `mmdecouple train`, of which `config`, `out` and `resume` are set.
        train: Trains with the config of the arguments.

    Raises:
        UserError: See `choose` and `read_record`.
    """
    data = absolute(read_spec(args.data, PICTURES))
    request = Request(
        find_method(args.method),
        data,
        args.weights and str(weight_file(args.weights).resolve()),
        args.minutes,
        args.epochs,
        args.seed,
        args.cfg_options,
    )
    args.out = args.out or Path('work_dirs') / f'{request.method.name}_{name_of(data)}'
    check_writable(args.out / 'chosen' / 'choices.json')
    choose_device(args.device or 'auto')
    console = Console()
    record = read_record(args.out, request) or _new_record(args.out, request, console)
    record.show(console)
    # Recorded in the config, which applies to any later start.
    args.config, args.cfg_options, args.resume = str(record.config), {}, 'auto'
    if args.plan:
        console.print(f'To train: mmdecouple train {record.config}', highlight=False, soft_wrap=True)
        return
    start = time.monotonic()
    train(args)
    console.print(
        f'Trained in {in_words(time.monotonic() - start)} (expected: {in_words(record.seconds)}); the network is '
        f'{args.out}. To measure it: mmdecouple coupling {args.out} --data {args.data}',
        highlight=False,
        soft_wrap=True,
    )


def _new_record(out: Path, request: Request, console: Console) -> Record:
    try:
        with console.status('choosing: a few steps are timed'):
            chosen = choose(request, this_machine(), measure_speed)
    except KeyboardInterrupt:
        console.print('Stopped before the training; nothing was written.')
        sys.exit(130)
    return write_record(out, request, chosen)
