"""Prints a config with all its bases and overrides put together."""
import argparse

from mmengine.config import DictAction

from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or mmdecouple::folder/file.py')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    parser.add_argument('--save', metavar='FILE', help='also write it to a .py, .json or .yml file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors():
        config = load_config(args.config, args.cfg_options)
        print(config.pretty_text)
        if args.save is not None:
            config.dump(args.save)


if __name__ == '__main__':
    main()
