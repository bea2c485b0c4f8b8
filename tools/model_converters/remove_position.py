"""Removes the place of a patch from features, as `mmdecouple remove-position` does."""

from mmdecouple.commands.remove_position import main

if __name__ == '__main__':
    main()
