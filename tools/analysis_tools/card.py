"""Writes the protocol card of networks, as `mmdecouple card` does."""

from mmdecouple.commands.card import main

if __name__ == '__main__':
    main()
