"""Converts a network to the format of another project, to ONNX, or to a folder of Hugging Face.

    mmdecouple convert work_dirs/run --to huggingface --out exported/
    mmdecouple convert work_dirs/run --to onnx --out exported/
    mmdecouple convert dino_vits16.pth --to mmdecouple --out converted/

Prints the name of every tensor in both formats and its shape. A ViT can be written as mmdecouple, ibot, dino, leopart,
timm, dinov2, dinov3 (Meta's names), huggingface and onnx; a ResNet as mmdecouple, torchvision, detectron2, soco,
pixpro, timm, huggingface and onnx. Files of CLIP, MaskAlign, MoCo, DenseCL, ReSim, PLRC and CP2 can be read. The
formats mmdecouple, ibot, leopart, soco and pixpro hold student, teacher and heads if the file does; the others hold one
backbone, the one that the authors of the method transfer: the teacher of iBOT and DINO, the student of other methods.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmdecouple.commands.options import NETWORKS, Parser, add_out

if TYPE_CHECKING:
    from mmdecouple.weights.conversion import Conversion

_FORMATS = (
    'mmdecouple',
    'ibot',
    'dino',
    'leopart',
    'timm',
    'dinov2',
    'dinov3',
    'huggingface',
    'soco',
    'pixpro',
    'torchvision',
    'detectron2',
    'onnx',
)
_DETECTRON2 = (
    'In detectron2 set MODEL.RESNETS.STRIDE_IN_1X1 False, INPUT.FORMAT RGB, MODEL.PIXEL_MEAN [123.675, 116.280, '
    '103.530], MODEL.PIXEL_STD [58.395, 57.120, 57.375].'
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(__doc__)
    parser.add_argument('network', metavar='NETWORK', help=NETWORKS)
    parser.add_argument('--to', required=True, choices=_FORMATS, help='format to write')
    add_out(parser, None, 'the files: backbone.pth, checkpoint.pth, model.safetensors, model.onnx, ... by format')
    parser.add_argument(
        '--from', dest='source_format', metavar='FORMAT', default='auto', help='expected format (default: detected)'
    )
    parser.add_argument(
        '--role',
        choices=('teacher', 'student'),
        help='network to use if a file has both (default: both, or the one that is transferred)',
    )
    parser.add_argument('--force', action='store_true', help='replace files in the folder')
    parser.add_argument('--allow-pickle', action='store_true', help='trust the file: run the code pickled in it')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Converts a network; see the description of the module."""
    args = parse_args(argv)
    from mmdecouple.runs.startup import program

    with program():
        _run(args)


def _run(args: argparse.Namespace) -> None:
    from mmdecouple.export.sources import read_source, shown_source
    from mmdecouple.export.writing import ONNX, OPENED, check_target, files_of, write_named
    from mmdecouple.networks.network import weight_file
    from mmdecouple.networks.projected import PROJECTED
    from mmdecouple.utils.errors import UserError
    from mmdecouple.weights.conversion import convert

    if args.network.startswith(PROJECTED) and args.to != ONNX:
        raise UserError(f'The format {args.to} has no place for a projection after the last layer; use --to {ONNX}.')
    check_target(args.to, args.out, args.force)
    content = read_source(args.network, args.allow_pickle)
    if args.to in OPENED:
        conversion, remark = _write_opened(args, content)
    else:
        conversion = convert(content, args.to, args.role, args.source_format, shown_source(args.network))
        if args.to == 'mmdecouple':
            file = weight_file(args.network)
            origin = dict(file=file.name if file else args.network, format=conversion.source_format)
            conversion.content.setdefault('meta', {})['converted_from'] = origin
        write_named(args.to, args.out, conversion.content)
        remark = _DETECTRON2 if args.to == 'detectron2' else ''
    if conversion is not None:
        _print_names(conversion, args.to)
    if remark:
        print(remark)
    names = ', '.join(str(path) for path in files_of(args.to, args.out))
    print(f'Wrote {names} ({args.to}) from {args.network}{_summary(conversion)}.')


def _write_opened(args: argparse.Namespace, content: dict[str, Any]) -> 'tuple[Conversion | None, str]':
    """Writes a format that is made from the opened network; returns the conversion of names, if any, and a remark."""
    from mmdecouple.export.provenance import provenance
    from mmdecouple.export.sources import open_source, shown_source
    from mmdecouple.export.writing import ONNX, write_opened
    from mmdecouple.networks.foreign import TimmBackbone
    from mmdecouple.networks.network import weight_file
    from mmdecouple.networks.projected import ProjectedBackbone, split_projected
    from mmdecouple.weights.conversion import convert
    from mmdecouple.weights.pretrained import architecture

    network, role = open_source(args.network, content, args.role, args.allow_pickle)
    backbone, spec = network.model.measured_backbone, args.network
    if isinstance(backbone, ProjectedBackbone):
        backbone, spec = backbone.backbone, split_projected(spec)[1]
    conversion = None
    if isinstance(backbone, TimmBackbone):
        state, described = backbone.model.state_dict(), spec.partition('=')[0]
    elif args.to == ONNX:
        state, described = None, architecture(backbone.state_dict())
    else:
        conversion = convert(content, args.to, role, args.source_format, shown_source(args.network))
        state, described = conversion.content, conversion.architecture
    facts = provenance(content, weight_file(args.network), described, role)
    return conversion, write_opened(args.to, args.out, network, state, facts)


def _print_names(conversion: 'Conversion', to: str) -> None:
    """Prints the names of all tensors in both formats, and the groups of names that were left out."""
    from rich.console import Console
    from rich.table import Table

    table = Table(caption=conversion.remark or None, caption_justify='left')
    for head in (f'in {conversion.source_format}', f'in {to}', 'shape'):
        table.add_column(head, overflow='fold')
    for theirs, name, value in conversion.tensors:
        table.add_row(theirs, name, ' x '.join(map(str, value.shape)))
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    groups = Counter(name.partition('.')[0] for name in conversion.left_out)
    print(f'Left out: {", ".join(f"{name} ({count})" for name, count in sorted(groups.items())) or "nothing"}')


def _summary(conversion: 'Conversion | None') -> str:
    if conversion is None:
        return ''
    roles = f', {" and ".join(conversion.roles)}' if conversion.roles else ''
    return f' ({conversion.source_format}): {conversion.architecture}{roles}, {len(conversion.tensors)} tensors'
