"""Writes the protocol card of networks: dense measures of any network on one page, each with protocol and interval.

The first line states the expected time. A stopped card continues where it was stopped with the same command.

Examples:
    mmdecouple card timm:vit_small_patch16_224 --data folder:PATH
    mmdecouple card work_dirs/ibot work_dirs/ibot-d --data voc:data/VOCdevkit --limit 200 --out work_dirs/card
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.data_spec import SPECS
from mmdecouple.utils.files import check_writable
from mmdecouple.utils.progress import in_words, shown_stages

from . import options

if TYPE_CHECKING:
    from mmdecouple.card.measure import CardWork


def parser() -> options.Parser:
    """Returns the parser of the command."""
    parser = options.Parser(__doc__)
    options.add_networks(parser)
    options.add_data(parser, tuple(SPECS), None, required=True)
    options.add_out(parser, 'work_dirs/card', 'card.html and NAME.json of each network')
    options.add_limit(parser, 'images per split, and of pairs, objects and windows of a measure', 64)
    options.add_role(parser)
    options.add_seed(parser, 'the draws and of untrained networks')
    options.add_batch_size(parser, 8)
    options.add_workers(parser, 'read images')
    options.add_device(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the arguments of the command."""
    return parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args, console = parse_args(argv), Console()
    with program():
        check_writable(args.out / 'card.html')
        choose_device(args.device)
        from mmdecouple.card.measure import CardWork, add_differences
        from mmdecouple.card.page import print_cards, write_page
        from mmdecouple.card.pieces import Reading
        from mmdecouple.card.plan import plan_card
        from mmdecouple.networks.open_networks import open_networks

        say = partial(console.print, highlight=False, soft_wrap=True, markup=False)
        opening = dict(measured=args.role, seed=args.seed, allow_pickle=args.allow_pickle)
        networks = open_networks(args.networks, args.names, **opening)
        for name in networks:
            check_writable(args.out / f'{name}.json')
        plan = plan_card(networks, args.data, args.limit, args.seed)
        works = [
            CardWork(name, spec, Reading(network, args.batch_size, args.workers), plan, args.out / f'{name}.json')
            for spec, (name, network) in zip(args.networks, networks.items())
        ]
        _announce(works, say)
        try:
            for work in works:
                with shown_stages(console) as show:
                    work.reading.progress = show
                    work.run(say)
        except KeyboardInterrupt:
            say('Stopped; run the same command to continue from the finished parts.')
            sys.exit(130)
        add_differences(works)
        print_cards(works, console)
        for work in works:
            say(f'card: {work.path}')
        say(f'page: {write_page(works, args.out)}')


def _announce(works: 'list[CardWork]', say: Callable[[str], None]) -> None:
    """Says how long the cards will take, what is left out and what is reused."""
    from mmdecouple.card.page import left_out_lines

    total, missing = sum(len(work.pieces) for work in works), sum(len(work.missing) for work in works)
    reused = f' ({total - missing} of {total} parts are measured already)' if missing < total else ''
    say(f'Expected time: {in_words(sum(work.estimate() for work in works))}{reused}.')
    for line in left_out_lines(works):
        say(line)
