"""Draws maps of local semantic consistency, as `mmdecouple lsc` does."""

from mmdecouple.commands.lsc import main

if __name__ == '__main__':
    main()
