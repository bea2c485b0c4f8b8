"""Pre-trains a network: with a config, or without one for images of your own.

    mmdecouple train CONFIG --gpus 8
    mmdecouple train --data folder:PATH --method ibot-d --minutes 60

Without a config, network, batch size, learning rate, length and loader processes are chosen for the data and the
machine, and printed with their reasons. The config is written to OUT/chosen/, so that other configs can inherit it.
The same command continues an interrupted run with the recorded choices.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from mmdecouple.commands.options import Parser, add_data, add_device
from mmdecouple.commands.run_options import add_amp, add_launcher, add_run_folder, launch_of, start_processes
from mmdecouple.utils.arguments import add_overrides, positive, real, seed
from mmdecouple.utils.data_spec import PICTURES

_ALONE = ('data', 'method', 'weights', 'minutes', 'epochs', 'plan')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options."""
    parser = Parser(__doc__)
    parser.add_argument('config', nargs='?', help='config file, or mmdecouple::folder/file.py')
    add_run_folder(parser, 'logs and checkpoints', 'work_dirs/<config name>')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT; without a value, from the newest valid checkpoint in the folder of the run',
    )
    parser.add_argument(
        '--elastic',
        action='store_true',
        help='with --resume: allow another number of processes, if the batch of all processes together is the same',
    )
    parser.add_argument('--seed', type=seed, metavar='N', help='seed of the run (config key randomness.seed)')
    add_overrides(parser, 'overrides, e.g. optim_wrapper.optimizer.lr=0.1 train_dataloader.batch_size=16')
    add_device(parser)
    parser.set_defaults(device=None)
    add_launcher(parser, joins=True)
    add_amp(parser)
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size of all processes (config key auto_scale_lr.base_batch_size)',
    )
    _add_choices(parser.add_argument_group('training without a config'))
    args = parser.parse_args(argv)
    _check(parser, args)
    args.launch = launch_of(parser, args) if args.gpus else None
    return args


def _add_choices(group: argparse._ArgumentGroup) -> None:
    add_data(group, PICTURES, 'that of the config')
    group.add_argument('--method', metavar='NAME', help='method, such as ibot, ibot-d or ibot-control')
    group.add_argument(
        '--weights',
        metavar='NETWORK',
        help='run folder or weight file that Leopart continues, UniRefiner refines or MaskAlign learns from',
    )
    group.add_argument(
        '--minutes', type=real(0.1, 1e6), metavar='N', help='longest duration of the training (default: 30)'
    )
    group.add_argument('--epochs', type=positive, metavar='N', help='number of epochs (default: from the duration)')
    group.add_argument('--plan', action='store_true', help='choose and write the config without training')


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.config is not None:
        given = [name for name in _ALONE if getattr(args, name)]
        if given:
            parser.error(f'--{given[0]} is for training without a config; omit it, or the config {args.config}')
    elif args.data is None or args.method is None:
        parser.error('name a config, or --data and --method')
    elif args.minutes and args.epochs:
        parser.error('--minutes and --epochs contradict each other; omit one of them')
    elif args.resume is not None or args.elastic:
        parser.error('without a config, the same command continues the run; omit --resume and --elastic')
    elif args.launcher or args.gpus or int(os.environ.get('WORLD_SIZE', '1')) > 1:
        parser.error(
            'without a config, one process is trained; write the config with --plan, then use it with --gpus N '
            '--auto-scale-lr'
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    if args.launch:
        start_processes('mmdecouple.commands.train', sys.argv[1:] if argv is None else argv, args.launch)
    from mmdecouple.runs.signals import keep_early_signals
    from mmdecouple.runs.startup import program

    keep_early_signals()
    with program():
        if args.config is None:
            from mmdecouple.choices.command import train_chosen

            train_chosen(args, train)
        else:
            train(args)


def train(args: argparse.Namespace) -> None:
    """Trains with the config of the command line, or with the chosen one."""
    from mmdecouple.runs.changes import scale_lr, use_amp
    from mmdecouple.runs.launch import existing_checkpoint, prepare, require_keys, running
    from mmdecouple.runs.processes import LostPeer, end_alone
    from mmdecouple.runs.progress_hook import report_if_asked
    from mmdecouple.utils.configs import load_config

    config = load_config(args.config, args.cfg_options)
    prepare(config, args)
    require_keys(config, ('model', 'train_dataloader', 'train_cfg'), 'training')
    if args.amp:
        use_amp(config, args.cfg_options)
    if args.auto_scale_lr:
        scale_lr(config, args.cfg_options)
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
