"""Prints a config with all bases and overrides merged: the same as `mmdecouple config`."""

from mmdecouple.commands.config import main

if __name__ == '__main__':
    main()
