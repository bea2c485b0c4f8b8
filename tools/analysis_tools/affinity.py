"""Draws point affinity, as `mmdecouple affinity` does."""

from mmdecouple.commands.affinity import main

if __name__ == '__main__':
    main()
