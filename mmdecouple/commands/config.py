"""Prints a config with all bases and overrides merged."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdecouple.commands.options import Parser
from mmdecouple.utils.arguments import add_overrides

FORMATS = ('py', 'json', 'yaml')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options."""
    parser = Parser(__doc__, {'--save': '--out DIR'})
    parser.add_argument('config', help='config file, or mmdecouple::folder/file.py')
    add_overrides(parser)
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder to which the config is also written, as one file of its name'
    )
    parser.add_argument('--format', choices=FORMATS, default='py', help='format of the file (default: py)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    args = parse_args(argv)
    from mmengine.fileio import dump

    from mmdecouple.runs.startup import program
    from mmdecouple.utils.configs import load_config
    from mmdecouple.utils.errors import UserError
    from mmdecouple.utils.files import check_writable, write_text

    with program():
        path = args.out and args.out / f'{Path(args.config.rpartition("::")[2]).stem}.{args.format}'
        if path:
            check_writable(path)
            if path.resolve() == Path(args.config).resolve():
                raise UserError(f'--out {args.out}: {path} is the config itself; choose another folder.')
        config = load_config(args.config, args.cfg_options)
        print(config.pretty_text)
        if path:
            python = args.format == 'py'
            write_text(path, config.pretty_text if python else dump(config.to_dict(), file_format=args.format))
