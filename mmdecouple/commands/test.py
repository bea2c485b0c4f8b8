"""Measures a trained network with the test data of its config; the metrics are written to metrics.json.

    mmdecouple test work_dirs/RUN
    mmdecouple test CONFIG.py=CHECKPOINT.pth --out work_dirs/measured

For other data, or to compare networks, use `mmdecouple coupling`.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdecouple.commands.options import Parser, add_device, add_role
from mmdecouple.commands.run_options import add_launcher, add_run_folder, launch_of, start_processes
from mmdecouple.utils.arguments import add_overrides

if TYPE_CHECKING:
    from mmengine.config import Config

METRICS = 'metrics.json'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options."""
    parser = Parser(__doc__)
    parser.add_argument(
        'network',
        nargs='+',
        metavar='NETWORK',
        help='run folder, checkpoint or CONFIG.py=FILE; two words CONFIG CHECKPOINT, as mim gives them, are the latter',
    )
    add_run_folder(parser, f'logs and {METRICS}', 'work_dirs/<config name>')
    add_overrides(parser, 'overrides, e.g. test_dataloader.batch_size=16')
    add_role(parser)
    add_device(parser)
    parser.set_defaults(device=None)
    add_launcher(parser, joins=True)
    args = parser.parse_args(argv)
    if len(args.network) > 2:
        parser.error(f'one network is measured at a time, got {" ".join(args.network)}')
    if args.out is not None and args.out.suffix == '.json':
        parser.error(f'--out {args.out}: name a folder; the metrics are written to {METRICS} in it')
    args.launch = launch_of(parser, args) if args.gpus else None
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    if args.launch:
        start_processes('mmdecouple.commands.test', sys.argv[1:] if argv is None else argv, args.launch)
    from mmengine.fileio import dump

    from mmdecouple.runs.launch import prepare, require_keys, running
    from mmdecouple.runs.startup import program
    from mmdecouple.utils.files import check_writable, write_text

    with program():
        if args.out is not None:
            check_writable(args.out / METRICS)
        config = measured_config(args)
        prepare(config, args)
        require_keys(config, ('model', 'test_dataloader', 'test_evaluator', 'test_cfg'), 'testing')
        # A runner that trains would take the work dir for itself.
        config.update(train_dataloader=None, train_cfg=None, optim_wrapper=None, param_scheduler=None)
        with running(config) as runner:
            metrics = runner.test()
        if runner.rank == 0:
            write_text(f'{config.work_dir}/{METRICS}', dump(metrics, file_format='json', indent=2))


def measured_config(args: argparse.Namespace) -> 'Config':
    """Returns the config of the network, whose `load_from` is the file of the weights."""
    from mmdecouple.networks.trained import test_config, weight_file
    from mmdecouple.runs.launch import existing_checkpoint
    from mmdecouple.utils.configs import load_config

    if len(args.network) == 2:
        config = load_config(args.network[0], args.cfg_options)
        config.load_from = existing_checkpoint(args.network[1])
    else:
        path = weight_file(args.network[0])
        config = test_config(args.network[0], path, args.cfg_options)
        config.load_from = str(path)
    config.resume = False
    if args.role is not None:
        config.model.measured = args.role
    return config


if __name__ == '__main__':
    main()
