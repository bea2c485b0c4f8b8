"""Trains a model: `python -m mmdecouple.runs.train CONFIG`.

It is what `tools/train.py` runs.
"""

import argparse

from mmdecouple.utils.arguments import seed

from .launch import add_run_options, existing_checkpoint, prepare_config, require_keys, running
from .processes import LostPeer, end_alone
from .progress_hook import report_if_asked
from .signals import keep_early_signals
from .startup import program


def parse_args() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0] + '.')
    parser.add_argument('config', help='config file, or mmdecouple::folder/file.py')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT; without a value, from the newest valid checkpoint in the work folder',
    )
    parser.add_argument(
        '--elastic',
        action='store_true',
        help='with --resume: allow another number of processes, if the batch of all processes together is the same',
    )
    parser.add_argument('--seed', type=seed, help='seed of the run (config key randomness.seed)')
    add_run_options(parser)
    return parser.parse_args()


def main() -> None:
    """Runs the program from the command line."""
    args = parse_args()
    keep_early_signals()
    with program():
        config = prepare_config(args)
        require_keys(config, ('model', 'train_dataloader', 'train_cfg'), 'training')
        if args.seed is not None:
            config.merge_from_dict({'randomness.seed': args.seed})
        if args.elastic:
            config.elastic = True
        if args.resume is not None:
            config.resume = True
            config.load_from = None if args.resume == 'auto' else existing_checkpoint(args.resume)
        with running(config) as runner:
            report_if_asked(runner)
            try:
                runner.train()
            except LostPeer as error:
                end_alone(error)


if __name__ == '__main__':
    main()
