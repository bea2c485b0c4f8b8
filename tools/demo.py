"""Demonstrates de-coupling on built-in data (`make demo`): the same as `mmdecouple demo`."""

from mmdecouple.commands.demo import main

if __name__ == '__main__':
    main()
