"""Measures a trained network with its config's test data: `python tools/test.py NETWORK`, the same as `mmdecouple test`."""

from mmdecouple.commands.test import main

if __name__ == '__main__':
    main()
