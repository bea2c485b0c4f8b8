"""Writes the report of a comparison, as `mmdecouple compare` does."""

from mmdecouple.commands.compare import main

if __name__ == '__main__':
    main()
