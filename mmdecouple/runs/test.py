"""Measures a checkpoint with the config's test data: `python -m mmdecouple.runs.test CONFIG CHECKPOINT`.

It is what `tools/test.py` runs.
"""

import argparse

from mmengine.fileio import dump

from mmdecouple.utils.files import check_writable, write_text

from .launch import add_run_options, existing_checkpoint, prepare_config, require_keys, running
from .startup import program


def parse_args() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0] + '.')
    parser.add_argument('config', help='config file, or mmdecouple::folder/file.py')
    parser.add_argument('checkpoint', help='path or URL of the checkpoint to measure')
    parser.add_argument('--out', metavar='JSON', help='file for the metrics')
    add_run_options(parser)
    return parser.parse_args()


def main() -> None:
    """Runs the program from the command line."""
    args = parse_args()
    with program():
        if args.out is not None:
            check_writable(args.out)
        config = prepare_config(args)
        require_keys(config, ('model', 'test_dataloader', 'test_evaluator', 'test_cfg'), 'testing')
        config.load_from = existing_checkpoint(args.checkpoint)
        config.resume = False
        # A runner that trains would take the work dir for itself.
        config.update(train_dataloader=None, train_cfg=None, optim_wrapper=None, param_scheduler=None)
        with running(config) as runner:
            metrics = runner.test()
        if args.out is not None and runner.rank == 0:
            write_text(args.out, dump(metrics, file_format='json', indent=2))


if __name__ == '__main__':
    main()
