"""Fine-tunes a pre-trained checkpoint on a downstream task, tests it and adds a row to the table of results.

    python tools/transfer.py work_dirs/RUN/epoch_800.pth --task coco-mask-rcnn-c4 --launcher pytorch --gpus 8
    python tools/transfer.py work_dirs/RUN/epoch_800.pth --task ade-upernet --smoke overfit --device cpu

Data and weights are checked before any device is used. The same command continues an interrupted run and does not
repeat a finished one. A continued run sees the images in the same order, but draws new flips, crops and sampled
regions, so its result is not bit-identical to that of an uninterrupted run. Each run has a separate folder in
work_dirs/transfer/, next to results.jsonl and results.md; to reproduce its metrics, use
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
    parser.add_argument('checkpoint', help='checkpoint of a pre-training run, or a file of another project')
    parser.add_argument('--task', required=True, metavar='TASK', help=f'downstream task: {", ".join(TASKS)}')
    parser.add_argument(
        '--smoke',
        choices=['coco128', 'scenes', 'overfit'],
        help='short run instead of the protocol: a few iterations on data/coco128 or on exported '
        'scenes in data/scenes, or overfitting on eight built-in scenes, which shows that '
        'fine-tuning works',
    )
    parser.add_argument(
        '--arch',
        metavar='ARCH',
        help="network that replaces the protocol's; its results are not comparable with published ones: "
        f'{", ".join(ARCHS)}',
    )
    parser.add_argument(
        '--method',
        metavar='NAME',
        help='name of the method in the table, for files of other projects (default: unknown)',
    )
    parser.add_argument(
        '--role',
        choices=['auto', 'student', 'teacher'],
        default='auto',
        help='weights to load; auto (default) selects the teacher for iBOT and the student for all others',
    )
    parser.add_argument('--data-root', help="data folder (default: the config's)")
    parser.add_argument('--seed', type=seed, default=0, help='random seed (default 0)')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    parser.add_argument(
        '--gpus',
        type=positive,
        default=1,
        help="number of processes for --launcher (default 1), which share the protocol's batch",
    )
    parser.add_argument('--partition', help='Slurm partition')
    parser.add_argument('--work-dir', help='folder of the run (default: a subfolder of --root)')
    parser.add_argument('--root', default='work_dirs/transfer', help='folder of runs and results (default %(default)s)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument(
        '--precision',
        choices=['bf16', 'fp16', 'fp32'],
        help="precision of training (default: the protocol's, fp16 for ViTs and fp32 for ResNets)",
    )
    parser.add_argument(
        '--faster-coco-eval',
        action='store_true',
        help='evaluate COCO with the faster-coco-eval package: the same results in less time',
    )
    parser.add_argument('--allow-pickle', action='store_true', help='trust the checkpoint: run the code pickled in it')
    add_overrides(
        parser,
        'overrides of the config; with another train_dataloader.batch_size the learning rate is '
        'scaled in proportion unless auto_scale_lr.enable=False',
    )
    args = parser.parse_args()
    if args.task not in TASKS:
        parser.error(f'unknown task {args.task!r}; tasks: {", ".join(TASKS)}')
    if args.arch is not None and args.arch not in ARCHS:
        parser.error(f'unknown network {args.arch!r}; networks: {", ".join(ARCHS)}')
    if args.launcher == 'slurm' and not args.partition:
        parser.error('--launcher slurm requires --partition')
    if args.launcher == 'none' and args.gpus > 1:
        parser.error(f'--gpus {args.gpus} requires --launcher')
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
