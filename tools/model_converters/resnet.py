"""Converts checkpoints of ResNets, SoCo and PixPro between the tensor names of mmdecouple and of other projects.

    python tools/model_converters/resnet.py current.pth soco_ours.pth --to mmdecouple
    python tools/model_converters/resnet.py work_dirs/run/epoch_800.pth resnet50.safetensors --to torchvision
    python tools/model_converters/resnet.py work_dirs/run/epoch_800.pth resnet50.pkl --to detectron2

Prints the name of every tensor in both formats and its shape. SoCo, on C4 features or with a pyramid, is converted
completely between mmdecouple and soco, PixPro between mmdecouple and pixpro. The formats torchvision and detectron2
contain one backbone: the student's, which is fine-tuned, unless --role selects the other. Checkpoints of MoCo, DenseCL,
ReSim, PLRC and CP2 can be read, student and teacher.
"""

import argparse
import os.path as osp
from collections import Counter

from rich.console import Console
from rich.table import Table

from mmdecouple.runs.startup import program
from mmdecouple.utils.files import check_writable
from mmdecouple.weights.formats.resnet import ROLES, WRITABLE, from_ours, to_ours
from mmdecouple.weights.formats.resnet_names import FORMATS
from mmdecouple.weights.readers.numpy_pickles import write_numpy_pickle
from mmdecouple.weights.weight_files import read_weights, write_weights

# The formats that hold one backbone, and what detectron2 must be given with it.
LONE = ('torchvision', 'detectron2')
WRITTEN = (
    'In detectron2 set MODEL.RESNETS.STRIDE_IN_1X1 False, INPUT.FORMAT RGB, MODEL.PIXEL_MEAN [123.675, 116.280, '
    '103.530], MODEL.PIXEL_STD [58.395, 57.120, 57.375].'
)
READ = (
    'The file does not say where the blocks have their stride. Here it is the 3 x 3 convolution, as in networks of '
    "MoCo's and torchvision's (STRIDE_IN_1X1 False)."
)


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='IN', help='checkpoint: .pth, .pt, .bin, .tar, .safetensors or .pkl')
    parser.add_argument(
        'out',
        metavar='OUT',
        help='file to write: .pkl for detectron2, .safetensors, or any other name for the format of torch.save',
    )
    parser.add_argument('--to', required=True, choices=WRITABLE, help='format to write')
    parser.add_argument(
        '--from',
        dest='source_format',
        default='auto',
        choices=('auto', *FORMATS),
        help='format of IN (default: detected)',
    )
    parser.add_argument(
        '--role', choices=ROLES, default='student', help='backbone to write for torchvision or detectron2'
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument('--allow-pickle', action='store_true', help='trust IN: run the code pickled in it')
    args = parser.parse_args(words)
    if args.out.endswith('.safetensors') and args.to != 'torchvision':
        ending = 'pkl' if args.to == 'detectron2' else 'pth'
        parser.exit(2, f'{parser.prog}: format {args.to} is not a flat list of tensors; OUT must end in .{ending}.\n')
    if args.out.endswith('.pkl') != (args.to == 'detectron2'):
        parser.exit(2, f'{parser.prog}: OUT must end in .pkl for the format detectron2, and only for this format.\n')
    if osp.isdir(args.out) or (osp.exists(args.out) and not args.force):
        remedy = '' if osp.isdir(args.out) else ', or replace it with --force'
        parser.exit(2, f'{parser.prog}: {args.out} exists; name another file{remedy}.\n')
    return args


def main(words: list[str] | None = None) -> None:
    args = parse_args(words)
    with program():
        check_writable(args.out)
        source = to_ours(read_weights(args.source, args.allow_pickle), args.source_format, repr(args.source))
        out = from_ours(source, args.to, args.role)
        target = to_ours(out, args.to, repr(args.out))
        if args.to == 'mmdecouple':
            out['meta'] = dict(converted_from=dict(file=osp.basename(args.source), format=source.format))
        (write_numpy_pickle if args.to == 'detectron2' else write_weights)(args.out, out)
        teacher = args.to in LONE and args.role == 'teacher'
        theirs = {('teacher.' if teacher else '') + ours: name for ours, name in target.names.items()}
        console = Console()
        if not console.is_terminal:
            console.width = 200
        caption = READ if source.format == 'detectron2' else WRITTEN if args.to == 'detectron2' else None
        table = Table(f'in {source.format}', f'in {args.to}', 'shape', caption=caption, caption_justify='left')
        for ours, value in source.state.items():
            if ours in theirs:
                table.add_row(source.names.get(ours, '-'), theirs[ours], ' x '.join(map(str, value.shape)))
        console.print(table)
        left_out = source.ignored + [name for ours, name in source.names.items() if ours not in theirs]
        groups = Counter(name.partition('.')[0] for name in left_out)
        print(f'Left out: {", ".join(f"{name} ({count})" for name, count in sorted(groups.items())) or "nothing"}')
        print(
            f'Wrote {args.out} ({args.to}) from {args.source} ({source.format}): ResNet-{source.depth}, '
            f'{sum(ours.startswith(("backbone.", "teacher.backbone.")) for ours in theirs)} backbone tensors.'
        )


if __name__ == '__main__':
    main()
