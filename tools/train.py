"""Pre-trains a model: `python tools/train.py CONFIG`."""

from mmdecouple.runs.train import main

if __name__ == '__main__':
    main()
