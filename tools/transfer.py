"""Fine-tunes a pre-trained checkpoint on a downstream task, tests it and adds a row to the table of results.

    python tools/transfer.py work_dirs/RUN/epoch_800.pth --task coco-mask-rcnn-c4 --launcher pytorch --gpus 8
    python tools/transfer.py work_dirs/RUN/epoch_800.pth --task ade-upernet --smoke overfit --device cpu

Data and weights are checked before any device is used. The same command again goes on where an interrupted run ended,
and does not repeat a finished one. A run that goes on takes its images in the same order, but draws flips, crops and
sampled regions anew: it does not end in the very bits of one that was never interrupted. Each run has a folder of its
own in work_dirs/transfer/, beside results.jsonl and results.md; a result is read back by
`mim test mmdecouple FOLDER/transfer_config.py --checkpoint FOLDER/iter_N.pth`.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mmdecouple.runs.launch import choose_device
from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import add_overrides, positive, seed
from mmdecouple.utils.files import check_writable


def parse_args() -> argparse.Namespace:
    from mmdecouple.downstream.archs import ARCHS
    from mmdecouple.downstream.tasks import TASKS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='checkpoint of a pre-training run here, or a file of another project')
    parser.add_argument('--task', required=True, metavar='TASK', help=', '.join(TASKS))
    parser.add_argument(
        '--smoke',
        choices=['coco128', 'scenes', 'overfit'],
        help='minutes instead of the protocol: a few iterations on data/coco128 or on an export in '
        'data/scenes; or eight built-in scenes learned by heart, which shows that fine-tuning works',
    )
    parser.add_argument(
        '--arch',
        metavar='ARCH',
        help=f"network in the place of the protocol's, with whose numbers it does not compare: {', '.join(ARCHS)}",
    )
    parser.add_argument(
        '--method',
        metavar='NAME',
        help='what the table calls the method of a file of another project (default: unknown)',
    )
    parser.add_argument(
        '--role',
        choices=['auto', 'student', 'teacher'],
        default='auto',
        help="whose weights; auto (default) takes the teacher's for iBOT, the student's for all others",
    )
    parser.add_argument('--data-root', help="folder of the data (default: the config's)")
    parser.add_argument('--seed', type=seed, default=0, help='seed of the run (default 0)')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    parser.add_argument(
        '--gpus', type=positive, default=1, help="processes for --launcher (default 1); they share the protocol's batch"
    )
    parser.add_argument('--partition', help='of Slurm')
    parser.add_argument('--work-dir', help='folder of the run (default: one below --root)')
    parser.add_argument('--root', default='work_dirs/transfer', help='folder of runs and table (default %(default)s)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument(
        '--precision',
        choices=['bf16', 'fp16', 'fp32'],
        help="of training (default: the protocol's, fp16 for ViTs and fp32 for ResNets)",
    )
    parser.add_argument(
        '--faster-coco-eval',
        action='store_true',
        help='score COCO by the package of this name: the same results in less time',
    )
    parser.add_argument(
        '--allow-pickle', action='store_true', help='trust the checkpoint: run code that is pickled in it'
    )
    add_overrides(
        parser,
        'overrides of the config; with another train_dataloader.batch_size the learning rate is '
        'scaled in proportion, unless auto_scale_lr.enable=False',
    )
    args = parser.parse_args()
    if args.task not in TASKS:
        parser.error(f'there is no task {args.task!r}; tasks: {", ".join(TASKS)}')
    if args.arch is not None and args.arch not in ARCHS:
        parser.error(f'there is no network {args.arch!r}; networks: {", ".join(ARCHS)}')
    if args.launcher == 'slurm' and not args.partition:
        parser.error('--launcher slurm needs --partition')
    if args.launcher == 'none' and args.gpus > 1:
        parser.error(f'--gpus {args.gpus} needs a --launcher')
    return args


def main() -> None:
    with program():
        args = parse_args()
        check_writable(Path(args.root) / 'results.md')
        if args.work_dir:
            check_writable(Path(args.work_dir) / 'transfer_config.py')
        choose_device(args.device)
        from mmdecouple.downstream.results import print_row
        from mmdecouple.downstream.transfer import Transfer

        settings = {key: value for key, value in vars(args).items() if key != 'cfg_options'}
        transfer = Transfer(**settings, options=args.cfg_options, command=['python', *sys.argv])
        transfer.prepare()
        print_row(transfer.run(), Console(), Path(args.root))


if __name__ == '__main__':
    main()
