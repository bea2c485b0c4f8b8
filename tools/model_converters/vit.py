"""Converts a ViT checkpoint between the tensor names of mmdecouple, iBOT, DINO, Leopart, timm and Hugging Face.

    python tools/model_converters/vit.py checkpoint.pth ibot_ours.pth --to mmdecouple
    python tools/model_converters/vit.py work_dirs/run/epoch_800.pth vit.safetensors --to timm

Prints the name of every tensor in both formats and its shape. CLIP can also be read. A checkpoint with student and
teacher is converted completely to mmdecouple, ibot and leopart; --role selects one of them. The other formats contain
one backbone, the teacher's unless --role selects the other.
"""

import argparse
import os.path as osp
from collections import Counter

from rich.console import Console
from rich.table import Table

from mmdecouple.runs.startup import program
from mmdecouple.utils.files import check_writable
from mmdecouple.weights.formats.vit import (
    FORMATS,
    ROLES,
    WHOLE,
    WRITABLE,
    ViTWeights,
    roles_of,
    to_ours,
    vit_arch,
    vit_checkpoint,
)
from mmdecouple.weights.weight_files import read_weights, write_weights


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='IN', help='checkpoint: .pth, .pt, .bin, .tar or .safetensors')
    parser.add_argument(
        'out', metavar='OUT', help='file to write: .safetensors, or any other name for the format of torch.save'
    )
    parser.add_argument('--to', required=True, choices=WRITABLE, help='format to write')
    parser.add_argument(
        '--from',
        dest='source_format',
        default='auto',
        choices=('auto', *FORMATS),
        help='format of IN (default: detected)',
    )
    parser.add_argument('--role', choices=ROLES, help='network to convert')
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument('--allow-pickle', action='store_true', help='trust IN: run the code pickled in it')
    args = parser.parse_args(words)
    if args.out.endswith('.safetensors') and args.to in WHOLE:
        parser.exit(2, f'{parser.prog}: format {args.to} is not a flat list of tensors; OUT must end in .pth.\n')
    if osp.isdir(args.out) or (osp.exists(args.out) and not args.force):
        remedy = '' if osp.isdir(args.out) else ', or replace it with --force'
        parser.exit(2, f'{parser.prog}: {args.out} exists; name another file{remedy}.\n')
    return args


def main(words: list[str] | None = None) -> None:
    args = parse_args(words)
    with program():
        check_writable(args.out)
        content = read_weights(args.source, args.allow_pickle)
        roles = roles_of(content, repr(args.source))
        both = args.role is None and roles == ROLES and args.to in WHOLE
        role = args.role or next(iter(roles), None)
        networks = [
            to_ours(content, role, args.source_format, repr(args.source)) for role in (ROLES if both else (role,))
        ]
        out = vit_checkpoint(networks, args.to)
        if args.to == 'mmdecouple':
            origin = dict(file=osp.basename(args.source), format=networks[0].format, networks=len(networks))
            out = dict(meta=dict(converted_from=origin), state_dict=out)
        written = [to_ours(out, role, args.to, repr(args.out)) for role in (ROLES if both else (role,))]
        sizes = ', '.join(f'{key} {value}' for key, value in vit_arch(networks[0].backbone).items())
        write_weights(args.out, out)
        console = Console()
        if not console.is_terminal:
            console.width = 200
        left_out = set.intersection(*(set(network.ignored) for network in networks)) - set(ROLES if both else ())
        for source, target in zip(networks, written):
            console.print(key_table(source, target, args.to))
            left_out |= {theirs for ours, theirs in source.names.items() if ours not in target.names}
        groups = Counter(name.partition('.')[0] for name in left_out)
        print(f'Architecture: {sizes}')
        print(f'Left out: {", ".join(f"{name} ({count})" for name, count in sorted(groups.items())) or "nothing"}')
        print(
            f'Wrote {args.out} ({args.to}) from {args.source} ({networks[0].format}): '
            f'{" and ".join(ROLES) if both else role if roles else "one network"}, '
            f'{" + ".join(str(len(network.backbone)) for network in networks)} backbone tensors.'
        )


def key_table(source: ViTWeights, target: ViTWeights, format: str) -> Table:
    """Name in the source, our name, name in the target (of that format) and shape of every tensor of a network."""
    tensors = {**{f'backbone.{key}': value for key, value in source.backbone.items()}, **source.rest}
    columns = {
        f'in {source.format}': source.names,
        'ours': {name: name for name in tensors},
        f'in {format}': target.names,
    }
    if 'mmdecouple' in (source.format, format):
        columns.pop('ours')
    table = Table()
    for head in (*columns, 'shape'):
        table.add_column(head, overflow='fold')
    for name, value in tensors.items():
        table.add_row(*(names.get(name, '-') for names in columns.values()), ' x '.join(map(str, value.shape)))
    return table


if __name__ == '__main__':
    main()
