"""Pre-trains a network: `python tools/train.py CONFIG`, the same as `mmdecouple train`."""

from mmdecouple.commands.train import main

if __name__ == '__main__':
    main()
