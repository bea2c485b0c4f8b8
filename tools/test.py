"""Measures a trained network with the test data of its config: the same as `mmdecouple test`."""

from mmdecouple.commands.test import main

if __name__ == '__main__':
    main()
