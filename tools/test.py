"""Measures a checkpoint with the config's test data: `python tools/test.py CONFIG CHECKPOINT`."""

from mmdecouple.runs.test import main

if __name__ == '__main__':
    main()
