"""Measures the coupling of networks, as `mmdecouple coupling` does."""

from mmdecouple.commands.coupling import main

if __name__ == '__main__':
    main()
