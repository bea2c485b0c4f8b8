"""Packs images into tar shards, as `mmdecouple pack` does."""

from mmdecouple.commands.pack import main

if __name__ == '__main__':
    main()
