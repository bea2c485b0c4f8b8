"""Fine-tunes a pre-trained network on a downstream task, tests it and adds a row to the table of results.

    mmdecouple transfer work_dirs/RUN --task coco-mask-rcnn-c4 --gpus 8
    mmdecouple transfer work_dirs/RUN/epoch_800.pth --task ade-upernet --smoke overfit --device cpu

Data and weights are checked before any device is used. The same command continues an interrupted run and does not
repeat a finished one. A continued run sees the images in the same order, but draws new flips, crops and sampled
regions, so its result is not bit-identical to that of an uninterrupted run. Each run has a separate folder in
work_dirs/transfer/, next to results.jsonl and results.md; to reproduce its metrics, use
`mmdecouple test FOLDER/transfer_config.py=FOLDER/iter_N.pth`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdecouple.commands.options import TRUST, Parser, add_data, add_device, add_seed
from mmdecouple.commands.run_options import add_amp, add_launcher, add_run_folder, launch_of
from mmdecouple.utils.arguments import add_overrides

KINDS = ('coco', 'coco128', 'scenes', 'voc', 'ade', 'cityscapes')
TASKS = (
    'coco-mask-rcnn-c4',
    'coco-mask-rcnn-fpn',
    'coco-1pct',
    'coco-5pct',
    'coco-10pct',
    'voc-faster-rcnn-c4',
    'coco-cascade-vit',
    'ade-upernet',
    'ade-linear-4taps',
    'ade-linear-last',
    'voc-fcn',
    'cityscapes-fcn',
)
ARCHS = (
    'resnet50',
    'resnet18',
    'resnet-demo',
    'vit-s16',
    'vit-s8',
    'vit-ti16',
    'vit-ti8',
    'vit-b16',
    'vit-b8',
    'vit-demo',
    'vit-s14-dinov2',
    'vit-s14-dinov2-reg',
    'vit-s16-dinov3',
    'vit-b14-dinov2',
    'vit-b14-dinov2-reg',
    'vit-b16-dinov3',
    'vit-demo-dinov2-reg',
    'vit-demo-dinov3',
)
OUT = Path('work_dirs/transfer')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options."""
    parser = Parser(__doc__)
    parser.add_argument(
        'network', metavar='NETWORK', help='run folder, checkpoint, weight file of a published network, or CONFIG=FILE'
    )
    parser.add_argument(
        '--task', required=True, choices=TASKS, metavar='TASK', help=f'downstream task: {", ".join(TASKS)}'
    )
    parser.add_argument(
        '--smoke',
        choices=('coco128', 'scenes', 'overfit'),
        help='short run instead of the protocol: a few iterations on data/coco128 or on exported scenes in '
        'data/scenes, or overfitting on eight built-in scenes, which shows that fine-tuning works',
    )
    parser.add_argument(
        '--arch',
        choices=ARCHS,
        metavar='ARCH',
        help="network that replaces the protocol's; its results are not comparable with published ones: "
        f'{", ".join(ARCHS)}',
    )
    parser.add_argument('--method', metavar='NAME', help='name of the method in the table, for files of other projects')
    parser.add_argument(
        '--role',
        choices=('teacher', 'student'),
        help='network to use if a file has both (default: the one that the authors of the method transfer: the teacher '
        'for iBOT and the student for all others)',
    )
    add_data(parser, KINDS, "the protocol's, or that of --smoke")
    add_seed(parser, 'the run')
    add_run_folder(parser, 'all runs, one subfolder each, and of their table', str(OUT))
    add_launcher(parser)
    add_device(parser)
    add_amp(parser)
    parser.add_argument(
        '--precision',
        choices=('bf16', 'fp16', 'fp32'),
        help="precision of training (default: the protocol's, fp16 for ViTs and fp32 for ResNets)",
    )
    parser.add_argument(
        '--auto-scale-lr',
        action=argparse.BooleanOptionalAction,
        help='scale the learning rate with the batch size of all processes (default: scale)',
    )
    parser.add_argument(
        '--faster-coco-eval',
        action='store_true',
        help='evaluate COCO with the faster-coco-eval package: the same results in less time',
    )
    parser.add_argument('--allow-pickle', action='store_true', help=TRUST)
    add_overrides(parser, 'overrides of the config')
    args = parser.parse_args(argv)
    args.launch = launch_of(parser, args)
    if args.amp and args.precision == 'fp32':
        parser.error('--amp contradicts --precision fp32; omit one of them')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    from rich.console import Console

    from mmdecouple.runs.launch import choose_device
    from mmdecouple.runs.startup import program
    from mmdecouple.utils.data_spec import read_spec
    from mmdecouple.utils.files import check_writable

    with program():
        out = args.out or OUT
        check_writable(out / 'results.md')
        choose_device(args.device)
        from mmdecouple.downstream.results import print_row
        from mmdecouple.downstream.transfer import Transfer

        words = ['mmdecouple', 'transfer', *(sys.argv[1:] if argv is None else argv)]
        names = ('network', 'task', 'smoke', 'arch', 'method', 'seed', 'launch', 'device', 'amp', 'precision')
        names += ('auto_scale_lr', 'faster_coco_eval', 'allow_pickle')
        transfer = Transfer(
            **{name: getattr(args, name) for name in names},
            role=args.role or 'auto',
            data=args.data and read_spec(args.data, KINDS),
            out=out,
            options=args.cfg_options,
            command=words,
        )
        transfer.prepare()
        print_row(transfer.run(), Console(), out)


if __name__ == '__main__':
    main()
