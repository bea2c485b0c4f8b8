"""Opens the page of affinity maps, as `mmdecouple explore` does."""

from mmdecouple.commands.explore import main

if __name__ == '__main__':
    main()
