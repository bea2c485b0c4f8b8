"""Computes box proposals by selective search, as `mmdecouple proposals` does."""

from mmdecouple.commands.proposals import main

if __name__ == '__main__':
    main()
