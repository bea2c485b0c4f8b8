"""Prints a config with all bases and overrides merged."""

import argparse
from pathlib import Path

from mmengine.fileio import dump

from mmdecouple.runs.startup import program
from mmdecouple.utils.arguments import add_overrides
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.files import check_writable, write_text

ENDINGS = ('.py', '.json', '.yml', '.yaml')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or mmdecouple::folder/file.py')
    add_overrides(parser)
    parser.add_argument('--save', type=Path, metavar='FILE', help='also write the config to a .py, .json or .yml file')
    args = parser.parse_args()
    if args.save and args.save.suffix not in ENDINGS:
        parser.error(f'--save requires a file name ending in {", ".join(ENDINGS)}, got {args.save}')
    return args


def main() -> None:
    args = parse_args()
    with program():
        if args.save:
            check_writable(args.save)
        config = load_config(args.config, args.cfg_options)
        print(config.pretty_text)
        if args.save:
            ending = args.save.suffix[1:]
            text = config.pretty_text if ending == 'py' else dump(config.to_dict(), file_format=ending)
            write_text(args.save, text)


if __name__ == '__main__':
    main()
